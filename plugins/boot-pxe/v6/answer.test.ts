import {
  associations6,
  decodeDhcp6,
  encodeDhcp6,
  encodeOptions6,
  formatIpv6,
  MESSAGE6,
  type Message6,
  OPTION6,
  type Options6,
  option6,
  parseIpv6,
  type RelayMessage6,
  vendorClass6,
} from '@overdub/lib-netboot';
import { beforeEach, describe, expect, test } from 'vitest';
import { type TestDesk, testDesk } from '../test-kit.ts';
import { AddressPool6 } from './addresses.ts';
import { answer6, type Desk6 } from './answer.ts';

const PEER = parseIpv6('fe80::5054:ff:fe00:1') as Uint8Array;
const SERVER_ID = Uint8Array.of(0, 3, 0, 1, 2, 2, 2, 2, 2, 2);
const CLIENT_ID = Uint8Array.of(0, 4, ...new Array<number>(16).fill(7));
const IA: Options6[number] = [OPTION6.iaNa, Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)];
const HTTP: Options6[number] = [OPTION6.clientArchitecture, Uint8Array.of(0, 16)];
const PXE: Options6[number] = [OPTION6.clientArchitecture, Uint8Array.of(0, 7)];
const SERVER: Options6[number] = [OPTION6.serverId, SERVER_ID];
const URL6 = 'http://[fd00::1]:7077/boot/x.efi';

let base: TestDesk;
let guest: Desk6;
let server: Desk6;
beforeEach(() => {
  base = testDesk();
  base.netboot.rendered = { kind: 'file', name: URL6 };
  const desk = { ...base, site: { ...base.site, baseUrl: 'http://[fd00::1]:7077' } };
  guest = {
    desk,
    tftpUrl: 'tftp://[fd00::1]/',
    serverId: SERVER_ID,
    pool: undefined,
    leaseSeconds: 600,
    dns: [],
  };
  const pool = new AddressPool6({ from: 'fd00::100', to: 'fd00::101' }, 'fd00::1');
  server = { ...guest, pool, dns: ['fd00::53'] };
});

const message = (type: number, ...options: Options6): Message6 => ({
  type,
  transaction: 0x123456,
  options: [[OPTION6.clientId, CLIENT_ID], ...options],
});
const ask = async (desk: Desk6, type: number, ...options: Options6) =>
  (await answer6(message(type, ...options), PEER, desk)) as Message6 | undefined;
const urlOf = (reply: Message6 | undefined) =>
  Buffer.from(option6(reply?.options ?? [], OPTION6.bootFileUrl) ?? []).toString();
const addressOf = (reply: Message6 | undefined) =>
  associations6(reply?.options ?? []).flatMap(({ addresses }) => addresses.map(formatIpv6));
const naming = (address: string): Options6[number] => {
  const inner = Buffer.concat([parseIpv6(address) as Uint8Array, Buffer.alloc(8)]);
  return [OPTION6.iaNa, Buffer.concat([IA[1], encodeOptions6([[OPTION6.iaAddress, inner]])])];
};

describe('beside another server', () => {
  test('HTTP Boot hears its URL and class in an advertisement without an address', async () => {
    const reply = await ask(guest, MESSAGE6.solicit, IA, HTTP);
    expect(reply).toMatchObject({ type: MESSAGE6.advertise, transaction: 0x123456 });
    expect(urlOf(reply)).toBe(URL6);
    expect(vendorClass6(reply?.options ?? [])).toBe('HTTPClient');
    expect(addressOf(reply)).toEqual([]);
    expect(base.netboot.asked[0]).toMatchObject({
      mac: '52:54:00:00:00:01',
      client: 'http',
      arch: 'uefi-x86_64',
      baseUrl: 'http://[fd00::1]:7077',
    });
  });

  test('an information request is answered alike', async () => {
    const reply = await ask(guest, MESSAGE6.informationRequest, HTTP);
    expect(reply?.type).toBe(MESSAGE6.reply);
    expect(urlOf(reply)).toBe(URL6);
  });

  test.each<[string, number, Options6]>([
    ['who does not boot', MESSAGE6.solicit, [IA]],
    ['a renewal', MESSAGE6.renew, [IA, HTTP, SERVER]],
    ['who can only load by TFTP', MESSAGE6.solicit, [IA, PXE]],
  ])('%s is left to it', async (_, type, options) => {
    base.netboot.rendered = { kind: 'file', name: options.includes(PXE) ? 'ipxe/ipxe.efi' : URL6 };
    expect(await ask(guest, type, ...options)).toBeUndefined();
  });

  test('a rejected machine hears nothing', async () => {
    base.netboot.plan = { kind: 'silent', reason: 'rejected' };
    expect(await ask(guest, MESSAGE6.solicit, IA, HTTP)).toBeUndefined();
  });

  test('iPXE on a BIOS machine, where the router gives out addresses', async () => {
    const ipxe = Buffer.concat([Uint8Array.of(0, 4), Buffer.from('iPXE')]);
    const options: Options6 = [
      [OPTION6.clientArchitecture, Uint8Array.of(0, 0)],
      [OPTION6.userClass, ipxe],
    ];
    expect(urlOf(await ask(guest, MESSAGE6.informationRequest, ...options))).toBe(URL6);
    expect(base.netboot.asked[0]).toMatchObject({ client: 'ipxe', arch: 'bios-x86' });
  });
});

describe('with a pool', () => {
  test('the address that is advertised is leased, kept by renewals, and given back', async () => {
    const [offered = ''] = addressOf(await ask(server, MESSAGE6.solicit, IA, HTTP));
    expect(offered).toMatch(/^fd00::10[01]$/);
    const reply = await ask(server, MESSAGE6.request, naming(offered), HTTP, SERVER);
    expect([reply?.type, addressOf(reply), urlOf(reply)]).toEqual([MESSAGE6.reply, [offered], URL6]);
    expect(option6(reply?.options ?? [], OPTION6.dns)).toHaveLength(16);
    expect(addressOf(await ask(server, MESSAGE6.renew, naming(offered), SERVER))).toEqual([offered]);
    expect(addressOf(await ask(server, MESSAGE6.rebind, naming(offered)))).toEqual([offered]);
    expect(server.pool?.lease('other', offered, 1e15, base.clock.time)).toBe(false);
    await ask(server, MESSAGE6.release, naming(offered), SERVER);
    expect(server.pool?.lease('other', offered, 1e15, base.clock.time)).toBe(true);
  });

  test('an ordinary client gets an address and no URL', async () => {
    const reply = await ask(server, MESSAGE6.solicit, IA);
    expect([addressOf(reply).length, urlOf(reply), base.netboot.asked.length]).toEqual([1, '', 0]);
  });

  test('rapid commit leases at once', async () => {
    const reply = await ask(server, MESSAGE6.solicit, IA, [OPTION6.rapidCommit, new Uint8Array(0)]);
    expect(reply?.type).toBe(MESSAGE6.reply);
    expect(option6(reply?.options ?? [], OPTION6.rapidCommit)).toBeDefined();
  });

  test('a used-up pool says so; a declined address is nobody’s for an hour', async () => {
    for (const owner of ['a', 'b'])
      server.pool?.lease(
        owner,
        owner === 'a' ? 'fd00::100' : 'fd00::101',
        base.clock.time + 1e9,
        base.clock.time,
      );
    const reply = await ask(server, MESSAGE6.solicit, IA);
    const value = option6(reply?.options ?? [], OPTION6.iaNa) as Uint8Array;
    expect([...value.subarray(12)]).toEqual([0, 13, 0, 2, 0, 2]);
    expect(server.pool?.decline('a', 'fd00::100', base.clock.time)).toBe(true);
    expect(addressOf(await ask(server, MESSAGE6.solicit, IA))).toEqual([]);
    base.clock.time += 3_600_001;
    expect(addressOf(await ask(server, MESSAGE6.solicit, IA))).toEqual(['fd00::100']);
  });

  test.each([
    ['fd00::100', 0],
    ['fd99::1', 4],
  ])('%s is confirmed with status %i', async (address, code) => {
    const reply = await ask(server, MESSAGE6.confirm, naming(address));
    expect([...(option6(reply?.options ?? [], OPTION6.status) ?? [])]).toEqual([0, code]);
  });
});

test('a client’s address is the same after a restart', () => {
  const fresh = () => new AddressPool6({ from: 'fd00::', to: 'fd00::ffff:ffff' }, 'fd00::1');
  expect(fresh().offer('x', undefined, 0)).toBe(fresh().offer('x', undefined, 0));
  expect(fresh().offer('x', 'fd00::77', 0)).toBe('fd00::77');
});

describe('dropped', () => {
  test.each<[string, number, Options6]>([
    ['a solicit to one server', MESSAGE6.solicit, [IA, HTTP, SERVER]],
    ['a request to nobody', MESSAGE6.request, [IA, HTTP]],
    ['a request to another server', MESSAGE6.request, [IA, [OPTION6.serverId, Uint8Array.of(0, 3, 9)]]],
    ['an information request for an address', MESSAGE6.informationRequest, [IA, HTTP]],
    ['a reply', MESSAGE6.reply, [SERVER]],
  ])('%s', async (_, type, options) => expect(await ask(server, type, ...options)).toBeUndefined());

  test('a solicit without a client identifier', async () =>
    expect(await answer6({ type: 1, transaction: 1, options: [IA] }, PEER, server)).toBeUndefined());
});

test('behind relays the answer goes back in their wraps, and the relay’s word on the MAC address counts', async () => {
  const wrap = (inner: Message6 | RelayMessage6, ...more: Options6): RelayMessage6 => ({
    type: MESSAGE6.relayForward,
    hops: 0,
    link: parseIpv6('fd00:1::1') as Uint8Array,
    peer: PEER,
    options: [...more, [OPTION6.relayMessage, encodeDhcp6(inner)]],
  });
  const id: Options6[number] = [OPTION6.interfaceId, Uint8Array.of(1, 2)];
  const seen: Options6[number] = [OPTION6.linkLayerAddress, Uint8Array.of(0, 1, 2, 0, 0, 0, 0, 9)];
  const reply = (await answer6(
    wrap(wrap(message(MESSAGE6.solicit, IA, HTTP), seen), id),
    PEER,
    server,
  )) as RelayMessage6;
  expect(reply.type).toBe(MESSAGE6.relayReply);
  expect(option6(reply.options, OPTION6.interfaceId)).toEqual(id[1]);
  const middle = decodeDhcp6(option6(reply.options, OPTION6.relayMessage) as Uint8Array) as RelayMessage6;
  expect(middle.type).toBe(MESSAGE6.relayReply);
  const inner = decodeDhcp6(option6(middle.options, OPTION6.relayMessage) as Uint8Array) as Message6;
  expect(urlOf(inner)).toBe(URL6);
  expect(base.netboot.asked[0]?.mac).toBe('02:00:00:00:00:09');
});

test('firmware that loads by TFTP hears a URL for it, and no class, from who gives it an address', async () => {
  base.netboot.rendered = { kind: 'file', name: 'ipxe/ipxe.efi' };
  const reply = await ask(server, MESSAGE6.solicit, IA, PXE);
  expect(urlOf(reply)).toBe('tftp://[fd00::1]/ipxe/ipxe.efi');
  expect(vendorClass6(reply?.options ?? [])).toBeUndefined();
  expect(addressOf(reply)).toHaveLength(1);
});

test('what a machine is told to load is in the log, once a minute', async () => {
  for (const type of [MESSAGE6.solicit, MESSAGE6.solicit]) await ask(server, type, IA, HTTP);
  expect(base.log.said('info')).toEqual(['offering a boot file']);
  base.clock.time += 60_000;
  await ask(server, MESSAGE6.solicit, IA, HTTP);
  await ask(server, MESSAGE6.solicit, IA);
  expect(base.log.said('info')).toHaveLength(2);
});
