import { expect, it } from 'vitest';
import { takeVouched, vouch } from './vouched.ts';

it('a record vouches once', () => {
  vouch('web-1', '/state/record');
  expect(takeVouched('web-2')).toBeUndefined();
  expect(takeVouched('web-1')).toBe('/state/record');
  expect(takeVouched('web-1')).toBeUndefined();
});

it('a record that could not be kept takes the word of the one before back', () => {
  vouch('web-1', '/state/record');
  vouch('web-1', undefined);
  expect(takeVouched('web-1')).toBeUndefined();
});
