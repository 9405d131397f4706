import ts from 'typescript';

export interface PurityViolation {
  readonly line: number;
  readonly found: string;
}

/** Global names that reach a clock, a random source, a timer, the process or any other input or output. */
const impureGlobals = new Set([
  'Buffer',
  'Promise',
  'XMLHttpRequest',
  'WebSocket',
  'clearImmediate',
  'clearInterval',
  'clearTimeout',
  'console',
  'crypto',
  'fetch',
  'global',
  'globalThis',
  'performance',
  'process',
  'queueMicrotask',
  'require',
  'setImmediate',
  'setInterval',
  'setTimeout',
]);

/** Members of otherwise pure globals. */
const impureMembers = new Set(['Date.now', 'Math.random']);

/** True where the identifier names a member or a declaration of its own rather than the global of that name. */
function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  if (ts.isQualifiedName(parent)) return parent.right === node;
  return (
    (ts.isPropertyAssignment(parent) ||
      ts.isPropertySignature(parent) ||
      ts.isPropertyDeclaration(parent) ||
      ts.isMethodDeclaration(parent) ||
      ts.isMethodSignature(parent)) &&
    parent.name === node
  );
}

function isAsync(node: ts.Node): boolean {
  if (ts.isAwaitExpression(node)) return true;
  if (ts.isForOfStatement(node)) return node.awaitModifier !== undefined;
  return (
    ts.canHaveModifiers(node) &&
    (ts.getModifiers(node) ?? []).some((modifier) => modifier.kind === ts.SyntaxKind.AsyncKeyword)
  );
}

function violationAt(node: ts.Node): string | undefined {
  if (isAsync(node)) return 'async code';
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const member = `${node.expression.text}.${node.name.text}`;
    if (impureMembers.has(member)) return member;
  }
  if (
    ts.isElementAccessExpression(node) &&
    ts.isIdentifier(node.expression) &&
    ['Date', 'Math'].includes(node.expression.text)
  ) {
    return `${node.expression.text}[…]`;
  }
  if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && ts.isIdentifier(node.expression)) {
    const takesClock = node.expression.text === 'Date' && (node.arguments?.length ?? 0) === 0;
    if (takesClock) return 'the current Date';
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) return 'import()';
  if (ts.isIdentifier(node) && impureGlobals.has(node.text) && !isMemberName(node)) return node.text;
  return undefined;
}

/** Everything in one source text that a synchronous core without clock, randomness or I/O may not contain. */
export function purityViolations(text: string): PurityViolation[] {
  const file = ts.createSourceFile('core.ts', text, ts.ScriptTarget.Latest, true);
  const violations: PurityViolation[] = [];
  const visit = (node: ts.Node): void => {
    const found = violationAt(node);
    if (found !== undefined) {
      violations.push({ line: file.getLineAndCharacterOfPosition(node.getStart()).line + 1, found });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return violations;
}
