import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';

let child: ChildProcess | undefined;
afterEach(() => child?.kill('SIGKILL'));

/** Logs so many lines of about 1,000 bytes, says that it has, does what is given, and ends. */
function logging(lines: number, then = ''): ChildProcess {
  const program = `
    const { standardLog } = await import('./core/standard-log.ts');
    const log = standardLog();
    for (let n = 0; n < ${lines}; n++) log.info({ n }, 'x'.repeat(1000));
    console.log('logged');
    ${then}`;
  const args = ['--conditions=overdub-source', '--input-type=module', '-e', program];
  child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return child;
}

/** What the lines say that came out; each must be whole. */
async function linesOf({ stderr }: ChildProcess): Promise<readonly { n?: number; dropped?: number }[]> {
  const said = await text(stderr as NodeJS.ReadableStream);
  return said
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { n?: number; dropped?: number });
}

test('all lines come out in order, also those that wait when the process ends', async () => {
  const lines = await linesOf(logging(500, 'process.exit(0)'));
  expect(lines.map(({ n }) => n)).toEqual(Array.from({ length: 500 }, (_, n) => n));
});

test('a reader that does not read holds nobody up; what was dropped is counted', async () => {
  const run = logging(10_000);
  // It goes on although nobody reads a line of its ten megabytes.
  const [said] = (await once(run.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  expect(String(said)).toBe('logged\n');
  const lines = await linesOf(run);
  const kept = lines.filter(({ n }) => n !== undefined);
  const dropped = lines.reduce((sum, line) => sum + (line.dropped ?? 0), 0);
  expect(kept.length + dropped).toBe(10_000);
  expect(kept.length).toBeGreaterThan(3000);
  expect(dropped).toBeGreaterThan(3000);
});
