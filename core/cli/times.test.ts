import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseDuration, referenceWithOffset, selectorWithOffset, splitReference } from './times.ts';

const before = process.env.TZ;
beforeEach(() => {
  process.env.TZ = 'Europe/Berlin';
});
afterEach(() => {
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});

/** 14:00 in Berlin. */
const now = Date.parse('2026-11-22T13:00:00Z');

describe('selectors', () => {
  test.each([
    ['12:45', '2026-11-22T12:45:00+01:00'],
    ['14:00', '2026-11-22T14:00:00+01:00'],
    ['14:01', '2026-11-21T14:01:00+01:00'],
    ['9:05', '2026-11-22T09:05:00+01:00'],
    ['23:59:59', '2026-11-21T23:59:59+01:00'],
    ['2026-11-20T08:00', '2026-11-20T08:00:00+01:00'],
    ['2026-07-20T08:00', '2026-07-20T08:00:00+02:00'],
    ['2026-11-20', '2026-11-20T00:00:00+01:00'],
  ])('%s is %s', (selector, expected) => {
    expect(selectorWithOffset(selector, now)).toBe(expected);
  });

  test.each(['latest', '~2', '2026-11-22T12:45Z', '2026-11-22T12:45+01:00', '20261122T124500Z-1', '25:00'])(
    '%s passes unchanged',
    (selector) => {
      expect(selectorWithOffset(selector, now)).toBe(selector);
    },
  );

  test('west of Greenwich and half hours', () => {
    process.env.TZ = 'America/St_Johns';
    expect(selectorWithOffset('09:00', now)).toBe('2026-11-22T09:00:00-03:30');
  });

  test.each(['2026-02-30', '2026-13-01', '2026-03-29T02:30'])('%s does not exist here', (selector) => {
    expect(() => selectorWithOffset(selector, now)).toThrow(/no time of the calendar/);
  });
});

test('references', () => {
  expect(referenceWithOffset('web-1@12:45', now)).toBe('web-1@2026-11-22T12:45:00+01:00');
  expect(referenceWithOffset('web@3', now)).toBe('web@3');
  expect(referenceWithOffset('web', now)).toBe('web');
  expect(splitReference('web-1@~2', now)).toEqual({ server: 'web-1', selector: '~2' });
  for (const wrong of ['web-1', '@latest', 'web-1@']) {
    expect(() => splitReference(wrong, now)).toThrow(/SERVER@SNAPSHOT/);
  }
});

test('durations', () => {
  expect(['90', '20s', '15m', '1h', '2d', '1w'].map(parseDuration)).toEqual([
    90, 20, 900, 3600, 172_800, 604_800,
  ]);
  for (const wrong of ['', '1.5h', '-3s', '3y', 'soon'])
    expect(() => parseDuration(wrong)).toThrow(/no duration/);
});
