import { operationIn } from './key-operation.ts';

/** A route as clients know it: the router's wildcard holds the key and, in POST, what to do with it. */
export function publicPath(url: string, constraints: unknown): string {
  const operation = operationIn(constraints);
  return url.replace('/*', operation === undefined ? '/:key' : `/:key/${operation}`);
}

/** Which methods a path takes, for 405 answers: the router itself only says that none fits. */
export class RouteTable {
  private readonly routes = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();

  add(method: string, url: string, constraints: unknown): void {
    const path = publicPath(url, constraints);
    const route = this.routes.get(path) ?? { pattern: patternOf(path), methods: new Set() };
    route.methods.add(method);
    this.routes.set(path, route);
  }

  /** Sorted; empty when there is no such route. */
  methodsOf(path: string): string[] {
    const methods = new Set<string>();
    for (const route of this.routes.values()) {
      if (route.pattern.test(path)) for (const name of route.methods) methods.add(name);
    }
    return [...methods].sort();
  }
}

function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(':key', '.*').replace(/:[a-z]+/g, '[^/]+')}$`);
}
