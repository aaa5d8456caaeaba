/** Milliseconds. */
export interface AnswerTimes {
  readonly answers: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Of times in any order; 0 where there are none. */
export function quantiles(milliseconds: readonly number[]): AnswerTimes {
  const times = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0);
  return { answers: times.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
