import { defineConfig } from 'vitest/config';

const source = { conditions: ['overdub-source', 'node', 'import', 'default'] };
const shared = { resolve: source, ssr: { resolve: { ...source, externalConditions: source.conditions } } };

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
          ],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          execArgv: ['--conditions=overdub-source'],
        },
      },
      {
        ...shared,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          fileParallelism: false,
          execArgv: ['--conditions=overdub-source'],
        },
      },
      {
        ...shared,
        test: {
          name: 'boot',
          include: ['test/boot/**/*.test.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          fileParallelism: false,
          execArgv: ['--conditions=overdub-source'],
        },
      },
      {
        ...shared,
        test: {
          name: 'story',
          include: ['test/story/**/*.test.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          fileParallelism: false,
          execArgv: ['--conditions=overdub-source'],
        },
      },
    ],
  },
});
