import {
  addressOption,
  type DhcpPacket,
  ipxeOptions,
  MESSAGE,
  messageType,
  OPTION,
  textOption,
} from '@overdub/lib-netboot';
import { describe, expect, test } from 'vitest';
import { handleDhcp } from './dhcp-server.ts';
import { LeaseBook } from './lease-book.ts';
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

const POOL = ['10.0.0.100', '10.0.0.101', '10.0.0.102'];
const nthMac = (n: number): string => `52:54:00:00:01:${n.toString(16).padStart(2, '0')}`;

async function ask(desk: TestDesk, request: DhcpPacket): Promise<DhcpPacket> {
  return received(await handleDhcp(request, desk));
}
const select = (address: string, mac = MAC, options = CLIENT.bios): DhcpPacket =>
  packet({ type: MESSAGE.request, mac, requested: address, server: OURS, options });
const comeUp = (address: string, mac = MAC): DhcpPacket =>
  packet({ type: MESSAGE.request, mac, requested: address });
const renew = (address: string, mac = MAC): DhcpPacket =>
  packet({ type: MESSAGE.request, mac, ciaddr: address });

/** DISCOVER, OFFER, REQUEST, ACK. */
async function lease(desk: TestDesk, mac = MAC): Promise<string> {
  const offer = await ask(desk, discover([], { mac }));
  const ack = await ask(desk, select(offer.yiaddr, mac, []));
  expect(messageType(ack)).toBe(MESSAGE.ack);
  expect(ack.yiaddr).toBe(offer.yiaddr);
  return ack.yiaddr;
}

describe('leases', () => {
  test('offer and acknowledgement carry address, times and network', async () => {
    const desk = testDesk({
      subnets: [{ ...SUBNET, router: '10.0.0.254', dns: ['10.0.0.253', '9.9.9.9'] }],
    });
    const offer = await ask(desk, discover());
    expect(messageType(offer)).toBe(MESSAGE.offer);
    expect(POOL).toContain(offer.yiaddr);
    expect(desk.saved.count).toBe(0);
    const ack = await ask(desk, select(offer.yiaddr, MAC, []));
    expect(desk.saved.count).toBe(1);
    expect(addressOption(ack, OPTION.serverId)).toBe(OURS);
    expect(addressOption(ack, OPTION.subnetMask)).toBe('255.255.255.0');
    expect(addressOption(ack, OPTION.router)).toBe('10.0.0.254');
    expect(addressOption(ack, OPTION.broadcastAddress)).toBe('10.0.0.255');
    expect([...(ack.options.get(OPTION.dns) ?? [])]).toEqual([10, 0, 0, 253, 9, 9, 9, 9]);
    const seconds = [OPTION.leaseTime, OPTION.renewalTime, OPTION.rebindingTime].map((code) =>
      Buffer.from(ack.options.get(code) ?? []).readUInt32BE(),
    );
    expect(seconds).toEqual([3600, 1800, 3150]);
  });

  test('a machine keeps its address through firmware, iPXE and operating system, whatever client id each sends', async () => {
    const desk = testDesk();
    const addresses = new Set<string>();
    for (const [index, options] of [CLIENT.bios, CLIENT.ipxe, []].entries()) {
      const id = [OPTION.clientId, Uint8Array.of(0, index, 1, 2)] as const;
      const offer = await ask(desk, discover([...options, id]));
      expect(offer.options.get(OPTION.clientId)).toEqual(id[1]);
      addresses.add((await ask(desk, select(offer.yiaddr, MAC, [...options, id]))).yiaddr);
    }
    expect(addresses.size).toBe(1);
  });

  test('of one boot only the first answer waits for the disk; the others confirm the lease with the time it has left', async () => {
    const desk = testDesk();
    const seconds = async (): Promise<number> => {
      const offer = await ask(desk, discover(CLIENT.bios));
      const ack = await ask(desk, select(offer.yiaddr, MAC, CLIENT.bios));
      return Buffer.from(ack.options.get(OPTION.leaseTime) ?? []).readUInt32BE();
    };
    expect(await seconds()).toBe(3600);
    desk.clock.time += 60_000;
    expect(await seconds()).toBe(3540);
    expect(desk.saved.count).toBe(1);
    desk.clock.time += 600_000;
    expect(await seconds()).toBe(3600);
    expect(desk.saved.count).toBe(2);
  });

  test('two machines with one client id (a cloned machine-id) get two addresses', async () => {
    const desk = testDesk();
    const id = [OPTION.clientId, Uint8Array.of(255, 1, 2, 3)] as const;
    const one = await ask(desk, discover([id], { mac: MAC }));
    const two = await ask(desk, discover([id], { mac: MAC2 }));
    expect(one.yiaddr).not.toBe(two.yiaddr);
  });

  test('an exhausted pool is silence and one clear error, and serves again when a lease ends', async () => {
    const desk = testDesk();
    for (let n = 0; n < 3; n++) await lease(desk, nthMac(n));
    expect(await handleDhcp(discover([], { mac: nthMac(9) }), desk)).toBeUndefined();
    expect(desk.log.said('error')).toEqual([expect.stringMatching(/enlarge the pool/)]);
    desk.clock.time += 3_601_000;
    expect(POOL).toContain(await lease(desk, nthMac(9)));
  });

  test('an address that was never leased is preferred to one whose lease ended', async () => {
    const desk = testDesk();
    const first = await lease(desk, nthMac(0));
    desk.clock.time += 4_000_000;
    const later = [await lease(desk, nthMac(1)), await lease(desk, nthMac(2))];
    expect(later).not.toContain(first);
    expect(await lease(desk, nthMac(0))).toBe(first);
  });

  test('an offer is held for a minute, then another machine may have it', async () => {
    const desk = testDesk();
    for (let n = 0; n < 3; n++) await ask(desk, discover([], { mac: nthMac(n) }));
    expect(await handleDhcp(discover([], { mac: nthMac(5) }), desk)).toBeUndefined();
    desk.clock.time += 61_000;
    expect(POOL).toContain((await ask(desk, discover([], { mac: nthMac(5) }))).yiaddr);
  });

  test.each([
    ['our own address', { pool: { from: OURS, to: OURS } }],
    ['the network address', { pool: { from: '10.0.0.0', to: '10.0.0.0' } }],
    ['the broadcast address', { pool: { from: '10.0.0.255', to: '10.0.0.255' } }],
    ['the router', { pool: { from: '10.0.0.9', to: '10.0.0.9' }, taken: new Set(['10.0.0.9']) }],
  ])('%s in the pool is never handed out', async (_, plan) => {
    const desk = testDesk();
    const narrowed = { ...desk, subnets: [{ ...SUBNET, ...plan }] };
    expect(await handleDhcp(discover(), narrowed)).toBeUndefined();
    const asked = packet({ type: MESSAGE.request, requested: plan.pool.from });
    expect(messageType(await ask(narrowed, asked))).toBe(MESSAGE.nak);
  });

  test('when the disk refuses the lease, no acknowledgement leaves', async () => {
    const desk = testDesk({ save: () => Promise.reject(new Error('ENOSPC')) });
    const offer = await ask(desk, discover());
    await expect(handleDhcp(select(offer.yiaddr), desk)).rejects.toThrow('ENOSPC');
  });
});

describe('REQUEST (RFC 2131 §4.3.2)', () => {
  test('of another machine’s address is refused, however it asks', async () => {
    const desk = testDesk();
    const taken = await lease(desk, MAC);
    for (const request of [select(taken, MAC2), comeUp(taken, MAC2), renew(taken, MAC2)]) {
      expect(messageType(await ask(desk, request))).toBe(MESSAGE.nak);
    }
    expect(desk.book.ofMachine(MAC)?.address).toBe(taken);
  });

  test('of two machines for one offer: the one it was made to wins', async () => {
    const desk = testDesk();
    const { yiaddr } = await ask(desk, discover([], { mac: MAC }));
    expect(messageType(await ask(desk, select(yiaddr, MAC2)))).toBe(MESSAGE.nak);
    expect(messageType(await ask(desk, select(yiaddr, MAC)))).toBe(MESSAGE.ack);
  });

  test('naming another server withdraws our offer, and says that there is one', async () => {
    const desk = testDesk();
    const { yiaddr } = await ask(desk, discover());
    const reply = await handleDhcp(
      packet({ type: MESSAGE.request, requested: yiaddr, server: '10.0.0.254' }),
      desk,
    );
    expect(reply).toBeUndefined();
    expect(desk.foreign).toEqual(['10.0.0.254']);
    expect(desk.book.holder(yiaddr, desk.clock.now())).toBeUndefined();
  });

  test('a machine that comes up with an address of another network is refused, by broadcast', async () => {
    const reply = await handleDhcp(comeUp('192.168.7.7'), testDesk());
    expect(messageType(received(reply))).toBe(MESSAGE.nak);
    expect(reply?.to).toEqual({ address: '255.255.255.255', port: 68 });
    expect(received(reply)).toMatchObject({ yiaddr: '0.0.0.0', ciaddr: '0.0.0.0', siaddr: '0.0.0.0' });
  });

  test('a refusal through a relay asks it to broadcast', async () => {
    const request = packet({ type: MESSAGE.request, requested: '192.168.7.7', giaddr: '10.0.0.250' });
    const reply = await handleDhcp(request, testDesk());
    expect(reply?.to).toEqual({ address: '10.0.0.250', port: 67 });
    expect(received(reply).flags).toBe(0x8000);
  });

  test('a renewal is extended and answered to the address itself', async () => {
    const desk = testDesk();
    const address = await lease(desk);
    desk.clock.time += 1_800_000;
    const reply = await handleDhcp(renew(address), desk);
    expect(reply?.to).toEqual({ address, port: 68 });
    expect(received(reply)).toMatchObject({ yiaddr: address, ciaddr: address });
    expect(desk.book.ofMachine(MAC)?.expiresAt).toBe(desk.clock.now() + 3_600_000);
  });

  test('after the lease file was lost, a machine keeps its address if nobody else has it', async () => {
    const desk = testDesk();
    expect(messageType(await ask(desk, comeUp('10.0.0.101')))).toBe(MESSAGE.ack);
    expect(messageType(await ask(desk, renew('10.0.0.101')))).toBe(MESSAGE.ack);
  });

  test('without any address it is ignored', async () => {
    expect(await handleDhcp(packet({ type: MESSAGE.request }), testDesk())).toBeUndefined();
  });

  test('a relay of a network without a pool is ignored and named once', async () => {
    const desk = testDesk();
    for (let n = 0; n < 3; n++)
      expect(await handleDhcp(discover([], { giaddr: '10.77.0.1' }), desk)).toBeUndefined();
    expect(desk.log.said('warn')).toHaveLength(1);
  });
});

describe('DECLINE, RELEASE, INFORM', () => {
  test('a declined address is set aside for a lease’s time, and kept so', async () => {
    const desk = testDesk();
    const address = await lease(desk);
    await handleDhcp(packet({ type: MESSAGE.decline, requested: address, server: OURS }), desk);
    expect(desk.saved.count).toBe(2);
    const next = await lease(desk);
    expect(next).not.toBe(address);
    const book = new LeaseBook(desk.book.all());
    expect(book.isFreeFor(address, MAC, desk.clock.now())).toBe(false);
    expect(book.isFreeFor(address, MAC, desk.clock.now() + 3_601_000)).toBe(true);
  });

  test('nobody can decline or release what is not theirs', async () => {
    const desk = testDesk();
    const address = await lease(desk, MAC);
    await handleDhcp(packet({ type: MESSAGE.decline, mac: MAC2, requested: address, server: OURS }), desk);
    await handleDhcp(packet({ type: MESSAGE.release, mac: MAC2, ciaddr: address }), desk);
    expect(desk.book.holder(address, desk.clock.now())).toMatchObject({ mac: MAC, state: 'bound' });
    expect(desk.saved.count).toBe(1);
  });

  test('a released address is free at once', async () => {
    const desk = testDesk();
    const address = await lease(desk);
    expect(await handleDhcp(packet({ type: MESSAGE.release, ciaddr: address }), desk)).toBeUndefined();
    expect(desk.book.holder(address, desk.clock.now())).toBeUndefined();
    expect(desk.saved.count).toBe(2);
  });

  test('INFORM gets settings, no address and no lease time', async () => {
    const desk = testDesk({ subnets: [{ ...SUBNET, router: '10.0.0.254' }] });
    const reply = await handleDhcp(packet({ type: MESSAGE.inform, ciaddr: '10.0.0.77' }), desk);
    expect(reply?.to).toEqual({ address: '10.0.0.77', port: 68 });
    const ack = received(reply);
    expect(ack.yiaddr).toBe('0.0.0.0');
    expect(ack.options.has(OPTION.leaseTime)).toBe(false);
    expect(addressOption(ack, OPTION.router)).toBe('10.0.0.254');
    expect(addressOption(ack, OPTION.subnetMask)).toBe('255.255.255.0');
    expect(desk.book.all()).toEqual([]);
  });
});

describe('reservations follow the server', () => {
  function reserved(mac = MAC, address = '10.0.0.50'): TestDesk {
    const desk = testDesk();
    desk.netboot.reservations.set(mac, { address, hostname: 'web-1' });
    return desk;
  }

  test('the machine gets its server’s address, in or outside the pool, and host name', async () => {
    const desk = reserved();
    const offer = await ask(desk, discover());
    expect(offer.yiaddr).toBe('10.0.0.50');
    expect(textOption(offer, OPTION.hostName)).toBe('web-1');
  });

  test('a reserved address of the pool goes to nobody else, even when asked for', async () => {
    const desk = reserved(MAC, '10.0.0.100');
    for (let n = 0; n < 2; n++) expect(await lease(desk, nthMac(n))).not.toBe('10.0.0.100');
    expect(await handleDhcp(discover([], { mac: nthMac(3), requested: '10.0.0.100' }), desk)).toBeUndefined();
    expect(messageType(await ask(desk, comeUp('10.0.0.100', nthMac(3))))).toBe(MESSAGE.nak);
  });

  test('the server moves: the new machine gets the address, the dead one is refused it', async () => {
    const desk = reserved();
    expect(await lease(desk, MAC)).toBe('10.0.0.50');
    desk.netboot.reservations.clear();
    desk.netboot.reservations.set(MAC2, { address: '10.0.0.50', hostname: 'web-1' });
    expect(await lease(desk, MAC2)).toBe('10.0.0.50');
    expect(messageType(await ask(desk, renew('10.0.0.50', MAC)))).toBe(MESSAGE.nak);
    expect(messageType(await ask(desk, comeUp('10.0.0.50', MAC)))).toBe(MESSAGE.nak);
    expect(POOL).toContain(await lease(desk, MAC));
  });

  test('a machine at work keeps its pool address; coming up anew it moves to the server’s', async () => {
    const desk = testDesk();
    const before = await lease(desk);
    desk.netboot.reservations.set(MAC, { address: '10.0.0.50', hostname: 'web-1' });
    expect(messageType(await ask(desk, renew(before)))).toBe(MESSAGE.ack);
    expect(messageType(await ask(desk, comeUp(before)))).toBe(MESSAGE.nak);
    expect(await lease(desk)).toBe('10.0.0.50');
  });

  test('two interfaces of one machine do not share the address', async () => {
    const desk = reserved(MAC);
    desk.netboot.reservations.set(MAC2, { address: '10.0.0.50', hostname: 'web-1' });
    expect(await lease(desk, MAC)).toBe('10.0.0.50');
    expect(POOL).toContain(await lease(desk, MAC2));
    expect(messageType(await ask(desk, renew('10.0.0.50', MAC)))).toBe(MESSAGE.ack);
  });

  test.each([
    ['outside our network', '172.16.0.9'],
    ['our own address', OURS],
  ])('%s: the machine gets one of the pool, and the log says why', async (_, address) => {
    const desk = reserved(MAC, address);
    expect(POOL).toContain(await lease(desk));
    expect(desk.log.said('warn')).toEqual([expect.stringMatching(/overdub server set/)]);
  });

  test('a declined reservation is set aside too, and the log says so', async () => {
    const desk = reserved();
    await lease(desk);
    await handleDhcp(packet({ type: MESSAGE.decline, requested: '10.0.0.50', server: OURS }), desk);
    expect(POOL).toContain(await lease(desk));
    expect(desk.log.said('warn').join()).toMatch(/used by something else/);
  });
});

describe('booting', () => {
  test('firmware gets a lease and a boot file, in offer and acknowledgement', async () => {
    const desk = testDesk();
    const offer = await ask(desk, discover(CLIENT.uefi));
    const ack = await ask(desk, select(offer.yiaddr, MAC, CLIENT.uefi));
    for (const reply of [offer, ack]) {
      expect(reply).toMatchObject({ file: 'ipxe/x', siaddr: OURS, yiaddr: offer.yiaddr });
      expect(textOption(reply, OPTION.vendorClass)).toBe('PXEClient');
    }
  });

  test('iPXE gets its script’s URL and need not wait for a proxy', async () => {
    const offer = await ask(testDesk(), discover(CLIENT.ipxe));
    expect(textOption(offer, OPTION.bootFile)).toMatch(/^http:/);
    expect(offer.options.has(OPTION.vendorClass)).toBe(false);
    expect([...(ipxeOptions(offer)?.get(176) ?? [])]).toEqual([1]);
  });

  test('iPXE that is to boot its disk need not wait for a proxy either', async () => {
    const desk = testDesk();
    desk.netboot.plan = { kind: 'local' };
    const offer = await ask(desk, discover(CLIENT.ipxe));
    expect([...(ipxeOptions(offer)?.get(176) ?? [])]).toEqual([1]);
    expect(offer.options.has(OPTION.bootFile)).toBe(false);
  });

  test('an operating system’s client gets a plain lease, and the core is not asked', async () => {
    const desk = testDesk();
    const offer = await ask(desk, discover());
    expect(offer).toMatchObject({ file: '', sname: '', siaddr: '0.0.0.0' });
    expect([OPTION.bootFile, OPTION.vendorClass].some((code) => offer.options.has(code))).toBe(false);
    expect(desk.netboot.asked).toEqual([]);
  });

  test('local disk: a lease without a boot file', async () => {
    const desk = testDesk();
    desk.netboot.plan = { kind: 'local' };
    const offer = await ask(desk, discover(CLIENT.bios));
    expect(POOL).toContain(offer.yiaddr);
    expect([offer.file, offer.options.has(OPTION.bootFile)]).toEqual(['', false]);
  });

  test('a rejected machine’s firmware gets nothing at all', async () => {
    const desk = testDesk();
    desk.netboot.plan = { kind: 'silent', reason: 'rejected' };
    expect(await handleDhcp(discover(CLIENT.bios), desk)).toBeUndefined();
    expect(await handleDhcp(select('10.0.0.100'), desk)).toBeUndefined();
    expect(desk.book.all()).toEqual([]);
  });

  test('an unknown architecture gets a lease without a boot file, and a message', async () => {
    const desk = testDesk();
    const offer = await ask(desk, discover(CLIENT.arch(6)));
    expect(POOL).toContain(offer.yiaddr);
    expect(offer.file).toBe('');
    expect(desk.log.said('warn')).toEqual([expect.stringMatching(/ARCH_UNKNOWN/)]);
  });
});
