import { describe, expect, it } from 'vitest';
import { withLabelsByHand, withRuleLabels } from './rule-labels.ts';

const NONE = { labels: {} as Record<string, string> };
const ruled = withRuleLabels(NONE, { rack: '3', row: 'b' });

describe('labels of rules', () => {
  it('are set, follow their rules, and go with them', () => {
    expect(ruled.labels).toEqual({ rack: '3', row: 'b' });
    const moved = withRuleLabels(ruled, { rack: '4' });
    expect(moved.labels).toEqual({ rack: '4' });
    expect(withRuleLabels(moved, {}).labels).toEqual({});
  });

  it('change nothing, not even the object, when they say the same again', () => {
    expect(withRuleLabels(ruled, { rack: '3', row: 'b' })).toBe(ruled);
    expect(withRuleLabels(NONE, {})).toBe(NONE);
  });

  it('leave alone what was there before them', () => {
    expect(withRuleLabels({ labels: { rack: '1' } }, { rack: '3' }).labels).toEqual({ rack: '1' });
  });
});

describe('labels by hand', () => {
  it('win over rules, changed or removed, and stay so', () => {
    const byHand = withLabelsByHand(ruled, { rack: '9', row: null });
    expect(byHand.labels).toEqual({ rack: '9' });
    expect(withRuleLabels(byHand, { rack: '4', row: 'c' }).labels).toEqual({ rack: '9' });
    expect(withRuleLabels(byHand, {}).labels).toEqual({ rack: '9' });
  });

  it('win also where they say what the rule says today', () => {
    const same = withLabelsByHand(ruled, { rack: '3' });
    expect(withRuleLabels(same, { rack: '4', row: 'b' }).labels).toEqual({ rack: '3', row: 'b' });
  });
});
