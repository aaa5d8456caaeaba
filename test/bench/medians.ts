/** Figures of several rounds as one. */

import type { Figure } from './peers.ts';

/** What is measured. */
export const MEASURES = ['storedBytes', 'movedBytes', 'readBytes', 'cpu', 'seconds', 'peakMiB'] as const;

/** Of each figure by itself, over the rounds. */
export function medians(rounds: readonly (readonly Figure[])[]): Figure[] {
  return (rounds[0] ?? []).map((first) => {
    const same = rounds.flatMap((round) =>
      round.filter((figure) => figure.tool === first.tool && figure.step === first.step),
    );
    const middle = MEASURES.flatMap((measure) => {
      const values = same.map((figure) => figure[measure]).filter((value) => value !== undefined);
      return values.length === 0 ? [] : [[measure, median(values)] as const];
    });
    return { tool: first.tool, step: first.step, ...Object.fromEntries(middle) };
  });
}

/** Of an even number the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
