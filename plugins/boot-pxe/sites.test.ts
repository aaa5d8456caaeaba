import { UdpError } from '@overdub/lib-netboot';
import { expect, test } from 'vitest';
import type { PxeOptions } from './options.ts';
import { portError } from './ports.ts';
import { chooseSites } from './sites.ts';

const PRESENT = [
  { interface: 'lo', address: '127.0.0.1', netmask: '255.0.0.0', mac: '00:00:00:00:00:00', internal: true },
  {
    interface: 'eth0',
    address: '10.0.0.1',
    netmask: '255.255.255.0',
    mac: '52:54:00:00:00:01',
    internal: false,
  },
  {
    interface: 'eth0',
    address: '10.0.0.2',
    netmask: '255.255.255.0',
    mac: '52:54:00:00:00:01',
    internal: false,
  },
  {
    interface: 'eth1',
    address: '10.1.0.1',
    netmask: '255.255.0.0',
    mac: '52:54:00:00:00:02',
    internal: false,
  },
];
const addresses = (options: PxeOptions): string[] =>
  chooseSites(options, PRESENT, 7077).map((site) => site.address);

test.each<[string, PxeOptions, string[]]>([
  ['nothing said: every interface but loopback, by its first address', {}, ['10.0.0.1', '10.1.0.1']],
  ['an interface', { interface: 'eth1' }, ['10.1.0.1']],
  ['several', { interface: ['eth1', 'lo'] }, ['10.1.0.1', '127.0.0.1']],
  ['an address alone finds its interface', { address: '10.0.0.2' }, ['10.0.0.2']],
  ['both', { interface: 'eth0', address: '10.0.0.2' }, ['10.0.0.2']],
])('%s', (_, options, expected) => expect(addresses(options)).toEqual(expected));

test('machines reach the appliance under the address of their own interface', () => {
  expect(chooseSites({}, PRESENT, 99).map((site) => site.baseUrl)).toEqual([
    'http://10.0.0.1:99',
    'http://10.1.0.1:99',
  ]);
});

test.each<[string, PxeOptions, RegExp]>([
  ['server mode on two interfaces', { mode: 'server' }, /say which: eth0, eth1/],
  ['an interface that is not there', { interface: 'eth9' }, /eth9 does not exist.*eth1 \(10\.1\.0\.1\)/],
  ['an address of nobody', { address: '10.9.9.9' }, /no interface has the address 10\.9\.9\.9/],
])('%s is CONFIG_INVALID and names what there is', (_, options, message) => {
  expect(() => addresses(options)).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) }),
  );
});

test('a host without any network says so', () => {
  expect(() => chooseSites({}, [], 7077)).toThrow(/no network interface has an IPv4 address/);
});

test.each([
  ['EADDRINUSE', /taken/, /ss -lunp 'sport = :67'/],
  ['EACCES', /privilege/, /CAP_NET_BIND_SERVICE/],
  ['EPERM', /privilege/, /root/],
  ['ENODEV', /ENODEV/, /ip -4 address/],
])('a socket’s %s becomes PORT_UNAVAILABLE with a remedy', (code, message, remedy) => {
  const error = portError(new UdpError(code, 'bind', '0.0.0.0:67'), { interface: 'eth0', port: 67 }, 'DHCP');
  expect(error).toMatchObject({
    code: 'PORT_UNAVAILABLE',
    message: expect.stringMatching(message),
    remedy: expect.stringMatching(remedy),
  });
});
