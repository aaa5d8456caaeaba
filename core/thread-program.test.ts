import { expect, test } from 'vitest';
import { threadProgram } from './thread-program.ts';

test.each([
  ['file:///src/tree/writer.ts', 'file:///src/tree/thread.ts', ['--conditions=overdub-source']],
  ['file:///dist/tree/writer.js', 'file:///dist/tree/thread.js', undefined],
  ['file:///bundles/1/main.mjs', 'file:///bundles/1/tree-writer.mjs', undefined],
])('the program of a thread that %s starts is %s', (here, file, execArgv) => {
  const program = threadProgram(here, 'writer', 'tree-writer.mjs');
  expect(program.file.href).toBe(file);
  expect(program.execArgv).toEqual(execArgv);
});
