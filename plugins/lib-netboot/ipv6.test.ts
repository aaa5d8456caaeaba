import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatIpv6, ipv6FromNumber, ipv6Number, isLinkLocal6, parseIpv6 } from './ipv6.ts';

test.each([
  ['::', '::'],
  ['::1', '::1'],
  ['fd00:0:0:0:0:0:0:1', 'fd00::1'],
  ['FE80::1%eth0', 'fe80::1'],
  ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
  ['10:0:0:4:5:6:7:0', '10::4:5:6:7:0'],
  ['::ffff:10.0.0.1', '::ffff:a00:1'],
  ['1::', '1::'],
])('%s is written %s', (text, short) => expect(formatIpv6(parseIpv6(text) as Uint8Array)).toBe(short));

test.each(['', 'x', '10.0.0.1', '1:2', '::1::', 'fd00::/64'])('%j is no address', (text) =>
  expect(parseIpv6(text)).toBeUndefined(),
);

test('any sixteen bytes come back from their text and their number', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      expect(parseIpv6(formatIpv6(bytes))).toEqual(bytes);
      expect(ipv6FromNumber(ipv6Number(bytes))).toBe(formatIpv6(bytes));
    }),
  );
});

test.each([
  ['fe80::1', true],
  ['febf::1', true],
  ['fec0::1', false],
  ['fd00::1', false],
])('%s is link-local: %s', (text, is) => expect(isLinkLocal6(parseIpv6(text) as Uint8Array)).toBe(is));
