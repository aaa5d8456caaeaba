import {
  addressOption,
  encodeSubOptions,
  ipv4Bytes,
  MESSAGE,
  messageType,
  OPTION,
} from '@overdub/lib-netboot';
import { describe, expect, test } from 'vitest';
import type { ConflictProbe } from './conflict-probe.ts';
import { handleDhcp } from './dhcp-server.ts';
import type { PxeOptions } from './options.ts';
import type { Site } from './sites.ts';
import { parseNetwork, type Subnet, subnetsOf } from './subnets.ts';
import {
  CLIENT,
  discover,
  MAC,
  MAC2,
  OURS,
  packet,
  received,
  SUBNET,
  type TestDesk,
  testDesk,
} from './test-kit.ts';

const FAR: Subnet = {
  ...SUBNET,
  network: '10.2.0.0',
  pool: { from: '10.2.0.50', to: '10.2.0.59' },
  dns: ['10.2.0.3'],
  leaseSeconds: 600,
};
const RELAY = '10.2.0.254';
const AGENT = Uint8Array.of(1, 3, 7, 8, 9);
const relayed = (sub: Uint8Array = AGENT) => [[OPTION.relayInformation, sub]] as const;
const linkSelection = (network: string, more: readonly (readonly [number, Uint8Array])[] = []): Uint8Array =>
  encodeSubOptions([[5, ipv4Bytes(network)], ...more], { end: false });

const desk = (more = {}): TestDesk => testDesk({ subnets: [SUBNET, FAR], ...more });

describe('behind a relay', () => {
  test('pool, netmask, name servers and lease time are those of the relay’s network', async () => {
    const reply = await handleDhcp(discover(relayed(), { giaddr: RELAY }), desk());
    const offer = received(reply);
    expect(reply?.to).toEqual({ address: RELAY, port: 67 });
    expect(offer.yiaddr).toMatch(/^10\.2\.0\.5\d$/);
    expect(offer.giaddr).toBe(RELAY);
    expect(addressOption(offer, OPTION.dns)).toBe('10.2.0.3');
    expect(addressOption(offer, OPTION.broadcastAddress)).toBe('10.2.0.255');
    expect(Buffer.from(offer.options.get(OPTION.leaseTime) ?? []).readUInt32BE()).toBe(600);
  });

  test.each([0, 0x8000])('flags %i and option 82 come back as they were', async (flags) => {
    const question = discover([...CLIENT.uefi, ...relayed()], { giaddr: RELAY, flags });
    const offer = received(await handleDhcp(question, desk()));
    expect(offer.flags).toBe(flags);
    expect(offer.options.get(OPTION.relayInformation)).toEqual(AGENT);
    expect([...offer.options.keys()].at(-1)).toBe(OPTION.relayInformation);
    expect(offer.file).toBe('ipxe/x');
  });

  test('the relay is the router where none is named, and its address is never leased', async () => {
    const narrow = { ...FAR, pool: { from: RELAY, to: RELAY } };
    expect(await handleDhcp(discover([], { giaddr: RELAY }), desk({ subnets: [narrow] }))).toBeUndefined();
    const offer = received(await handleDhcp(discover([], { giaddr: RELAY }), desk()));
    expect(addressOption(offer, OPTION.router)).toBe(RELAY);
    const named = desk({ subnets: [{ ...FAR, router: '10.2.0.1' }] });
    const other = received(await handleDhcp(discover([], { giaddr: RELAY }), named));
    expect(addressOption(other, OPTION.router)).toBe('10.2.0.1');
  });

  test('link selection says the network, giaddr where the answer goes (RFC 3527)', async () => {
    const question = discover(relayed(linkSelection('10.2.0.0')), { giaddr: '172.16.0.1' });
    const reply = await handleDhcp(question, desk());
    expect(reply?.to).toEqual({ address: '172.16.0.1', port: 67 });
    expect(received(reply).yiaddr).toMatch(/^10\.2\.0\./);
    expect(received(reply).options.has(OPTION.router)).toBe(false);
  });

  test('link selection of a network without a pool is silence, and the log names it once', async () => {
    const world = desk();
    const question = discover(relayed(linkSelection('10.9.0.0')), { giaddr: RELAY });
    for (let n = 0; n < 3; n++) expect(await handleDhcp(question, world)).toBeUndefined();
    expect(world.log.said('warn')).toHaveLength(1);
  });

  test('a server identifier override is what we call ourselves, and what a REQUEST may call us (RFC 5107)', async () => {
    const world = desk();
    const sub = linkSelection('10.2.0.0', [[11, ipv4Bytes(RELAY)]]);
    const offer = received(await handleDhcp(discover(relayed(sub), { giaddr: RELAY }), world));
    expect(addressOption(offer, OPTION.serverId)).toBe(RELAY);
    const choice = { type: MESSAGE.request, requested: offer.yiaddr, server: RELAY, giaddr: RELAY } as const;
    const ack = received(await handleDhcp(packet({ ...choice, options: relayed(sub) }), world));
    expect(messageType(ack)).toBe(MESSAGE.ack);
    expect(world.foreign).toEqual([]);
  });

  test('a renewal comes past the relay, by unicast: its address tells the network', async () => {
    const world = desk();
    const { yiaddr } = received(await handleDhcp(discover([], { giaddr: RELAY }), world));
    await handleDhcp(
      packet({ type: MESSAGE.request, requested: yiaddr, server: OURS, giaddr: RELAY }),
      world,
    );
    const reply = await handleDhcp(packet({ type: MESSAGE.request, ciaddr: yiaddr }), world);
    expect(messageType(received(reply))).toBe(MESSAGE.ack);
    expect(reply?.to).toEqual({ address: yiaddr, port: 68 });
  });

  test('a machine carried to another network is refused its old address there and gets one that fits', async () => {
    const world = desk();
    const here = received(await handleDhcp(discover(), world)).yiaddr;
    await handleDhcp(packet({ type: MESSAGE.request, requested: here, server: OURS }), world);
    const comesUp = packet({ type: MESSAGE.request, requested: here, giaddr: RELAY });
    expect(messageType(received(await handleDhcp(comesUp, world)))).toBe(MESSAGE.nak);
    expect(received(await handleDhcp(discover([], { giaddr: RELAY }), world)).yiaddr).toMatch(/^10\.2\.0\./);
  });

  test('a REQUEST that names another of our addresses is no sign of a foreign server', async () => {
    const world = desk({ ours: new Set([OURS, '10.3.0.1']) });
    const choice = packet({ type: MESSAGE.request, requested: '10.0.0.100', server: '10.3.0.1' });
    expect(await handleDhcp(choice, world)).toBeUndefined();
    expect(world.foreign).toEqual([]);
  });
});

describe('the conflict probe', () => {
  function probing(): ConflictProbe & { asked: string[] } {
    const asked: string[] = [];
    return {
      asked,
      begin: (address, mac, where) => asked.push(`${address} ${mac} ${where}`),
      settled: async () => undefined,
      close: () => undefined,
    };
  }

  test('asks about a new address once it is offered: on the link, or through the relay', async () => {
    const probe = probing();
    const world = desk({ probe });
    const near = received(await handleDhcp(discover(), world)).yiaddr;
    const far = received(await handleDhcp(discover([], { mac: MAC2, giaddr: RELAY }), world)).yiaddr;
    expect(probe.asked).toEqual([`${near} ${MAC} link`, `${far} ${MAC2} relayed`]);
  });

  test('asks not about an address that the machine holds: it may be up under it', async () => {
    const probe = probing();
    const world = desk({ probe });
    const { yiaddr } = received(await handleDhcp(discover(), world));
    await handleDhcp(packet({ type: MESSAGE.request, requested: yiaddr, server: OURS }), world);
    await handleDhcp(discover(), world);
    expect(probe.asked).toHaveLength(1);
  });

  test('a REQUEST waits for the answer, and is refused when somebody has the address', async () => {
    const world: TestDesk = desk({
      probe: {
        ...probing(),
        settled: async (address: string) => void world.book.decline(address, MAC, world.clock.now() + 1000),
      },
    });
    const { yiaddr } = received(await handleDhcp(discover(), world));
    const choice = packet({ type: MESSAGE.request, requested: yiaddr, server: OURS });
    expect(messageType(received(await handleDhcp(choice, world)))).toBe(MESSAGE.nak);
    expect(received(await handleDhcp(discover(), world)).yiaddr).not.toBe(yiaddr);
  });
});

test('two machines with one RFC 4361 identifier get two addresses, and the log names both', async () => {
  const world = desk();
  const id = [[OPTION.clientId, Uint8Array.of(255, 0, 0, 0, 1, 0, 2, 0, 0, 171, 17, 9)]] as const;
  const addresses = new Set<string>();
  for (const mac of [MAC, MAC2, MAC]) {
    const { yiaddr } = received(await handleDhcp(discover(id, { mac }), world));
    const choice = packet({ type: MESSAGE.request, mac, requested: yiaddr, server: OURS, options: id });
    addresses.add(received(await handleDhcp(choice, world)).yiaddr);
  }
  expect(addresses.size).toBe(2);
  expect(world.log.said('warn')).toEqual([expect.stringMatching(/machine-id/)]);
});

describe('the networks of a configuration', () => {
  const site = (address: string): Site => ({
    interface: 'eth0',
    address,
    netmask: '255.255.255.0',
    mac: '52:54:00:ff:ff:ff',
    baseUrl: `http://${address}:7077`,
  });
  const far = { network: '10.2.0.0/24', pool: { from: '10.2.0.5', to: '10.2.0.9' } };
  const server = (more: PxeOptions): PxeOptions => ({ mode: 'server', ...more });

  test('the pool belongs to the interface whose network holds it; relayed ones follow', () => {
    const options = server({ pool: { from: '10.1.0.5', to: '10.1.0.9' }, subnets: [far], leaseSeconds: 99 });
    const subnets = subnetsOf(options, [site('10.0.0.1'), site('10.1.0.1')]);
    expect(subnets.map(({ network, leaseSeconds }) => [network, leaseSeconds])).toEqual([
      ['10.1.0.0', 99],
      ['10.2.0.0', 99],
    ]);
    expect([...(subnets[0]?.taken ?? [])]).toEqual(['10.0.0.1', '10.1.0.1']);
  });

  test.each<[string, PxeOptions, RegExp]>([
    [
      'a pool of no interface',
      { pool: { from: '10.9.0.5', to: '10.9.0.9' } },
      /10\.9\.0\.5 is not in the network of our address 10\.0\.0\.1/,
    ],
    [
      'a pool that leaves its network',
      { pool: { from: '10.0.0.5', to: '10.0.1.9' } },
      /10\.0\.1\.9 is not in/,
    ],
    ['a router elsewhere', { subnets: [{ ...far, router: '10.3.0.1' }] }, /10\.3\.0\.1 is not in/],
    ['a subnet twice', { subnets: [far, { ...far, network: '10.2.0.0/25' }] }, /overlap/],
  ])('%s is CONFIG_INVALID', (_, options, message) => {
    expect(() => subnetsOf(server(options), [site('10.0.0.1')])).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) }),
    );
  });

  test.each(['10.2.0.1/24', '10.2.0.0', '10.2.0.0/31', '10.2.0.0/7', '300.2.0.0/24', '10.2.0.0/x'])(
    '%s is no network',
    (text) => expect(parseNetwork(text)).toBeUndefined(),
  );
});
