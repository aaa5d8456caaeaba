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

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}
