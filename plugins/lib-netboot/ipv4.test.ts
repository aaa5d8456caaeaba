import { expect, test } from 'vitest';
import {
  broadcastAddress,
  formatIpv4,
  ipv4Bytes,
  ipv4FromBytes,
  isHostAddress,
  isNetmask,
  parseCidr,
  parseIpv4,
  sameNetwork,
} from './ipv4.ts';

test('text and numbers turn into each other', () => {
  for (const text of ['0.0.0.0', '10.0.0.1', '192.168.255.1', '255.255.255.255']) {
    expect(formatIpv4(parseIpv4(text) as number)).toBe(text);
    expect(ipv4FromBytes(ipv4Bytes(text))).toBe(text);
  }
});
test.each(['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.x', ' 1.2.3.4', '1.2.3.-4'])(
  '%j is no address',
  (text) => {
    expect(parseIpv4(text)).toBeUndefined();
  },
);
test('networks and their broadcast address', () => {
  expect(sameNetwork('10.0.0.9', '10.0.0.1', '255.255.255.0')).toBe(true);
  expect(sameNetwork('10.0.1.9', '10.0.0.1', '255.255.255.0')).toBe(false);
  expect(sameNetwork('200.0.0.1', '200.0.0.2', '255.0.0.0')).toBe(true);
  expect(broadcastAddress('10.0.0.1', '255.255.255.0')).toBe('10.0.0.255');
});
test.each([
  ['255.255.255.0', true],
  ['255.255.255.255', true],
  ['255.0.255.0', false],
  ['0.0.0.0', false],
])('%s is a netmask: %s', (mask, valid) => expect(isNetmask(mask)).toBe(valid));

test.each([
  ['10.0.0.1', true],
  ['127.0.0.1', true],
  ['223.255.255.255', true],
  ['0.0.0.0', false],
  ['0.1.2.3', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['10.0.0', false],
])('%s is a host address: %s', (address, expected) => expect(isHostAddress(address)).toBe(expected));

test.each([
  ['10.2.0.0/24', { network: '10.2.0.0', netmask: '255.255.255.0' }],
  ['0.0.0.0/0', { network: '0.0.0.0', netmask: '0.0.0.0' }],
  ['255.255.255.255/32', { network: '255.255.255.255', netmask: '255.255.255.255' }],
  ['10.2.0.1/24', undefined],
  ['10.2.0.0/33', undefined],
  ['10.2.0/24', undefined],
  ['10.2.0.0', undefined],
  ['10.2.0.0/', undefined],
])('the network %s is %j', (text, network) => expect(parseCidr(text)).toEqual(network));
