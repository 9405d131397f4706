import { defineConfig } from 'vitest/config';

/** Projects of the quick gate share the processors; those that open sockets or namespaces run afterwards, one file at a time. */
const quick = (name: string, folders: readonly string[], testTimeoutMs = 10_000) => ({
  test: {
    name,
    include: folders.map((folder) => `test/${folder}/**/*.test.ts`),
    testTimeout: testTimeoutMs,
    sequence: { groupOrder: 0 },
  },
});

const serial = (name: string, groupOrder: number, testTimeoutMs: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    fileParallelism: false,
    // Real processes in real time: a machine that stalls for seconds fails one of them. A fault in the program fails
    // twice, and what took two tries is reported.
    retry: 1,
    sequence: { groupOrder },
  },
});

export default defineConfig({
  test: {
    environment: 'node',
    globals: false,
    allowOnly: false,
    projects: [
      quick('unit', ['unit', 'boundaries'], 60_000),
      quick('property', ['property'], 60_000),
      quick('scenario', ['scenario'], 120_000),
      quick('contract', ['contract'], 30_000),
      quick('simulation', ['simulation'], 120_000),
      serial('integration', 1, 120_000),
      serial('netns', 2, 180_000),
    ],
  },
});
