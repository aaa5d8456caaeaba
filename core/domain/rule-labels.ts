/** Labels that rules set, beside those that people set. Pure. */

import type { Machine } from './machine.ts';

type Labelled = Pick<Machine, 'labels' | 'ruleLabels'>;

/**
 * The machine with the labels its rules want now. A label is the rules' as long as it is what they set last: it follows
 * them, and goes when they no longer name it. One that somebody else set, changed or removed stays as it is. The very
 * same object when nothing changes.
 */
export function withRuleLabels<M extends Labelled>(machine: M, wanted: Readonly<Record<string, string>>): M {
  const { labels, ruleLabels: before = {} } = machine;
  const isTheirs = (key: string): boolean =>
    typeof before[key] === 'string' ? labels[key] === before[key] : before[key] !== null && !(key in labels);
  const gone = Object.keys(before).filter((key) => isTheirs(key) && !(key in wanted));
  const set = Object.entries(wanted).filter(([key, value]) => isTheirs(key) && before[key] !== value);
  if (gone.length === 0 && set.length === 0) return machine;
  const kept = <V>(record: Readonly<Record<string, V>>) =>
    Object.fromEntries(Object.entries(record).filter(([key]) => !gone.includes(key)));
  const fresh = Object.fromEntries(set);
  return { ...machine, labels: { ...kept(labels), ...fresh }, ruleLabels: { ...kept(before), ...fresh } };
}

/** The machine after somebody decided about these labels: rules leave them alone from now on, set or removed. */
export function withLabelsByHand<M extends Labelled>(
  machine: M,
  changes: Readonly<Record<string, string | null>>,
): M {
  const merged = Object.entries({ ...machine.labels, ...changes });
  const decided = Object.keys(changes).map((key) => [key, null] as const);
  return {
    ...machine,
    labels: Object.fromEntries(merged.filter((each): each is [string, string] => each[1] !== null)),
    ruleLabels: { ...machine.ruleLabels, ...Object.fromEntries(decided) },
  };
}
