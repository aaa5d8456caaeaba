import { expect, test } from 'vitest';
import { nearest } from './nearest.ts';
import { satisfies } from './version-range.ts';

test.each([
  ['1.0.0', '^1.0.0', true],
  ['1.9.3', '^1.2.0', true],
  ['1.1.9', '^1.2.0', false],
  ['2.0.0', '^1.2.0', false],
  ['0.2.5', '^0.2.3', true],
  ['0.3.0', '^0.2.3', false],
  ['0.0.4', '^0.0.3', false],
  ['1.2.9', '~1.2.3', true],
  ['1.3.0', '~1.2.3', false],
  ['1.4.0', '~1', true],
  ['1.0.0', '1', true],
  ['1.5.0', '1.x', true],
  ['1.5.0', '1.4', false],
  ['1.0.0', '1.0.0', true],
  ['1.0.1', '1.0.0', false],
  ['1.0.1', '=1.0.1', true],
  ['1.5.0', '>=1.2 <2', true],
  ['2.0.0', '>=1.2 <2', false],
  ['2.0.0', '>1', true],
  ['1.9.0', '>1', false],
  ['1.9.0', '<=1', true],
  ['3.0.0', '^1.0.0 || ^3.0.0', true],
  ['2.0.0', '^1.0.0 || ^3.0.0', false],
  ['7.1.2', '*', true],
  ['1.0.0', '', undefined],
  ['1.0.0', 'latest', undefined],
  ['1.0.0', '^1.0.0 || soon', undefined],
  ['1.0.0', '01.0.0', undefined],
])('%s in %j is %s', (version, range, expected) => {
  expect(satisfies(version, range)).toBe(expected);
});

test('nearest finds the likely word and stays silent otherwise', () => {
  expect(nearest('prot', ['mode', 'port', 'pool'])).toBe('port');
  expect(nearest('Interface', ['interfaces', 'mode'])).toBe('interfaces');
  expect(nearest('completely-other', ['mode', 'port'])).toBeUndefined();
  expect(nearest('x', [])).toBeUndefined();
});
