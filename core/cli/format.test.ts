import { expect, test } from 'vitest';
import { duration, safe, size, table } from './format.ts';

test('sizes', () => {
  expect([0, 999, 1000, 1500, 999_499, 999_500, 12_345_678, 5e12].map(size)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '1.5 kB',
    '999 kB',
    '1.0 MB',
    '12.3 MB',
    '5.0 TB',
  ]);
});

test('durations', () => {
  expect([420, 42_000, 200_000, 7_500_000].map(duration)).toEqual([
    '0.4 s',
    '42 s',
    '3 min 20 s',
    '2 h 5 min',
  ]);
});

test('tables align, and say when they are empty', () => {
  expect(
    table(
      ['a', 'bb'],
      [
        ['x', 1],
        ['long', 22],
      ],
    ),
  ).toBe('A     BB\nx     1\nlong  22');
  expect(table(['a'], [], 'nothing yet')).toBe('nothing yet');
});

test('file names cannot steer the terminal', () => {
  expect(safe('etc/\u001b[31mred\n')).toBe('etc/\\u{1b}[31mred\\u{a}');
  expect(safe('caf\udce9')).toBe('caf\\xe9');
  expect(safe('grüße 😀')).toBe('grüße 😀');
});
