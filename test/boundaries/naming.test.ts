import { globSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const vagueFile = /(^|-)(utils?|helpers?|managers?|common|misc)(-|\.|$)/;
const vagueName = /(Utils?|Helpers?|Managers?)$/;
const accessorName = /^get[A-Z]/;

/** Names of functions, methods, classes, interfaces and types that say nothing, in one source text. */
function vagueNames(text: string, isVague: (name: string) => boolean): string[] {
  const file = ts.createSourceFile('names.ts', text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const declares =
      ts.isFunctionDeclaration(node) ||
      ts.isMethodDeclaration(node) ||
      ts.isMethodSignature(node) ||
      ts.isClassDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) ||
      (ts.isVariableDeclaration(node) && node.initializer !== undefined && ts.isArrowFunction(node.initializer));
    if (declares && node.name !== undefined && ts.isIdentifier(node.name) && isVague(node.name.text)) {
      found.push(node.name.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** In the API, "get" is the name of the HTTP method and of the Redis command. */
function isVagueIn(file: string): (name: string) => boolean {
  return (name) => vagueName.test(name) || (accessorName.test(name) && !file.startsWith('src/api/'));
}

describe('names', () => {
  const files = globSync('src/**/*.ts', { cwd: root });
  const inCore = isVagueIn('src/lib/any.ts');

  test('the check finds vague names', () => {
    const text =
      'class PeerManager { getPeer() {} } function getAll() {} const getOne = () => 1; interface DotHelper {}';
    expect(vagueNames(text, inCore)).toEqual(['PeerManager', 'getPeer', 'getAll', 'getOne', 'DotHelper']);
    expect(vagueNames('class Peers { get first() { return 1; } get(key: string) { return key; } }', inCore)).toEqual(
      [],
    );
    expect(vagueNames('function getRoute() {} class RouteManager {}', isVagueIn('src/api/http/routes.ts'))).toEqual([
      'RouteManager',
    ]);
    expect(vagueFile.test('peer-utils.ts')).toBe(true);
    expect(vagueFile.test('membership.ts')).toBe(false);
  });

  test('no file has a vague name', () => {
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => vagueFile.test(basename(file)))).toEqual([]);
  });

  test.each(files)('%s declares no vague name', (file) => {
    expect(vagueNames(readFileSync(join(root, file), 'utf8'), isVagueIn(file))).toEqual([]);
  });
});
