import { defineConfig } from 'vitest/config';

const source = { conditions: ['overdub-source', 'node', 'import', 'default'] };
const shared = { resolve: source, ssr: { resolve: { ...source, externalConditions: source.conditions } } };

/** Emulated machines and the like: one file after the other, and half an hour for each test. */
function long(name: string, include: string) {
  return {
    ...shared,
    test: {
      name,
      include: [include],
      testTimeout: 1_800_000,
      hookTimeout: 1_800_000,
      fileParallelism: false,
      execArgv: ['--conditions=overdub-source'],
    },
  };
}

export default defineConfig({
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          include: [
            'core/**/*.test.ts',
            'plugins/**/*.test.ts',
            'examples/**/*.test.ts',
            'test/structure/**/*.test.ts',
            'test/interop/**/*.test.ts',
            'test/faults/**/*.test.ts',
            'test/fleet/**/*.test.ts',
          ],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Vitest leaves one processor to itself by default: of two, that is half.
          maxWorkers: '100%',
          execArgv: ['--conditions=overdub-source'],
        },
      },
      long('e2e', 'test/e2e/**/*.test.ts'),
      long('boot', 'test/boot/**/*.test.ts'),
      long('fleet', 'test/fleet/**/*.storm.ts'),
      long('story', 'test/story/**/*.test.ts'),
    ],
  },
});
