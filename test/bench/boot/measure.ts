/** Timing and the table. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median } from '../medians.ts';

const run = promisify(execFile);

/** One line of the report: how fast each contender was, and how we stand to the best of the others. */
export interface Row {
  readonly what: string;
  readonly megabytesPerSecond: Readonly<Record<string, number>>;
  /** Ours over the best other's. */
  readonly ratio: number;
  /** What the ratio must reach. */
  readonly target: number;
}

/** A server and how a client fetches the file from it once. */
export interface Contender {
  readonly name: string;
  /** Client command. */
  readonly fetch: readonly string[];
}

export const OURS = 'overdub';
/** Cores: servers on the one, clients on the other. */
export const SERVER_CORE = '0';
export const CLIENT_CORE = '1';

/** Rounds of all contenders in turn; each fetch is the client's whole run, start and end included. */
export async function compare(
  what: string,
  contenders: readonly Contender[],
  settings: { readonly bytes: number; readonly rounds: number; readonly target: number },
): Promise<Row> {
  const seconds = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= settings.rounds; round++) {
    for (const { name, fetch } of contenders) {
      const started = performance.now();
      await run('taskset', ['-c', CLIENT_CORE, ...fetch], { timeout: 120_000 });
      // The first round only warms up.
      if (round > 0) seconds.get(name)?.push((performance.now() - started) / 1000);
    }
  }
  const speeds = [...seconds].map(([name, all]) => [name, settings.bytes / 1e6 / median(all)] as const);
  const ours = speeds.find(([name]) => name === OURS)?.[1] ?? Number.NaN;
  const best = Math.max(...speeds.filter(([name]) => name !== OURS).map(([, speed]) => speed));
  return {
    what,
    megabytesPerSecond: Object.fromEntries(speeds),
    ratio: ours / best,
    target: settings.target,
  };
}

/** Markdown, as docs/netboot.md has it. */
export function table(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.megabytesPerSecond)))];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(['MB/s', ...names, 'ours / best other', 'target']),
    line(['---', ...names.map(() => '---'), '---', '---']),
    ...rows.map(({ what, megabytesPerSecond, ratio, target }) =>
      line([
        what,
        ...names.map((name) => megabytesPerSecond[name]?.toFixed(0) ?? '–'),
        ratio.toFixed(2),
        target.toFixed(1),
      ]),
    ),
  ].join('\n');
}
