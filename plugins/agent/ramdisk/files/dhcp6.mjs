/**
 * Addresses by DHCPv6 (RFC 8415) in the ramdisk: `node dhcp6.mjs [NIC…]`, by default for every wired NIC, also one that
 * shows up later. Asks until a server answers, keeps the address by renewals, and asks anew when it is lost; runs as
 * long as the machine does. Routes and prefixes are the router's advertisements, which the kernel follows by itself.
 * Plain JavaScript without dependencies: the ramdisk holds nothing else.
 */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { access, readdir, readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const PORT = { client: 546, server: 547 };
/** All_DHCP_Relay_Agents_and_Servers (§7.1). */
const SERVERS = 'ff02::1:2';
const MESSAGE = { solicit: 1, advertise: 2, request: 3, renew: 5, rebind: 6, reply: 7, decline: 9 };
const OPTION = { clientId: 1, serverId: 2, iaNa: 3, iaAddress: 5, elapsed: 8, rapidCommit: 14 };
/**
 * First and longest wait for an answer, milliseconds, and the time after which there will be none. As in §7.6, but for
 * solicits: those go out every 8 s at least, not every hour, since a switch's port may open at any moment.
 */
const PATIENCE = {
  solicit: { first: 1000, most: 8000, all: Number.POSITIVE_INFINITY },
  request: { first: 1000, most: 30_000, all: 60_000 },
  renew: { first: 10_000, most: 600_000 },
  decline: { first: 1000, most: 1000, all: 4000 },
};
/** The kernel's flag of an address that somebody may yet say to have (RFC 4862 §5.4); if so, it is taken away. */
const TENTATIVE = 0x40;
/** The longest that a timer takes, milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

const ip = promisify(execFile).bind(undefined, 'ip');
const named = process.argv.slice(2);
const kept = new Set();
for (;;) {
  for (const nic of named.length > 0 ? named : await wiredNics()) {
    if (kept.has(nic)) continue;
    kept.add(nic);
    keepAddress(nic).catch((error) => {
      say(`DHCPv6 on ${nic} failed: ${error.message}; trying again`);
      setTimeout(() => kept.delete(nic), 5000);
    });
  }
  await sleep(1000);
}

/** As the ramdisk's `init` counts them. */
async function wiredNics() {
  const found = [];
  for (const nic of await readdir('/sys/class/net')) {
    const real = await access(`/sys/class/net/${nic}/device`).then(
      () => true,
      () => false,
    );
    if (real && (await readFile(`/sys/class/net/${nic}/type`, 'utf8')).trim() === '1') found.push(nic);
  }
  return found;
}

async function keepAddress(nic) {
  const link = await openLink(nic);
  try {
    for (;;) {
      const lease = await acquire(link);
      if (!(await take(link, lease))) continue;
      say(`${nic} has ${lease.text} by DHCPv6`);
      await hold(link, lease);
      say(`${nic} has lost ${lease.text}: no DHCPv6 server confirms it any more`);
    }
  } finally {
    link.socket.close();
  }
}

/** A socket at the NIC's link-local address, once there is one that nobody else claims. */
async function openLink(nic) {
  for (;;) {
    const own = linkLocalOf(nic);
    const socket = own && (await bound(`${own.address.split('%')[0]}%${nic}`));
    if (socket) {
      socket.on('error', (error) => say(`the DHCPv6 socket of ${nic} failed: ${error.message}`));
      // DUID-LL (§11.4): an SMBIOS UUID may be another board's, too.
      return { nic, socket, duid: Buffer.from(`00030001${own.mac.replaceAll(':', '')}`, 'hex') };
    }
    await sleep(200);
  }
}

function linkLocalOf(nic) {
  return (networkInterfaces()[nic] ?? []).find(({ address }) => /^fe[89ab].:/i.test(address));
}

/** `undefined` while the address is not to be used yet. */
function bound(address) {
  const socket = dgram.createSocket({ type: 'udp6', ipv6Only: true });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      if (error.code === 'EADDRNOTAVAIL') resolve(undefined);
      else reject(error);
    });
    socket.bind({ address, port: PORT.client }, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

/** Solicit and request (§18.2.1, §18.2.2), or the short way where the server takes it: the first lease that is offered. */
async function acquire(link) {
  for (;;) {
    const wish = [association(), [OPTION.rapidCommit, Buffer.alloc(0)]];
    const offer = await exchange(link, MESSAGE.solicit, wish, PATIENCE.solicit, (type, options) => {
      const short = type === MESSAGE.reply && optionOf(options, OPTION.rapidCommit) !== undefined;
      const lease = short || type === MESSAGE.advertise ? leaseOf(options) : undefined;
      return lease && { ...lease, short };
    });
    if (offer.short) return offer;
    const asked = [[OPTION.serverId, offer.server], association(offer)];
    const lease = await exchange(link, MESSAGE.request, asked, PATIENCE.request, granted);
    if (lease !== undefined) return lease;
  }
}

/** Renews (§18.2.4) with who gave it, later with anybody (§18.2.5), until its time is over. */
async function hold(link, first) {
  for (let lease = first; ; ) {
    const since = Date.now();
    const left = (seconds) => since + seconds * 1000 - Date.now();
    await sleep(Math.min(left(lease.renew), LONGEST_MS));
    const same = association(lease);
    const toIt = { ...PATIENCE.renew, all: left(lease.rebind) };
    const next =
      (await exchange(link, MESSAGE.renew, [[OPTION.serverId, lease.server], same], toIt, granted)) ??
      (await exchange(link, MESSAGE.rebind, [same], { ...PATIENCE.renew, all: left(lease.valid) }, granted));
    if (next === undefined) return;
    if (next.text !== lease.text) {
      await remove(link, lease);
      say(`${link.nic} has moved from ${lease.text} to ${next.text}`);
    }
    await assign(link, next);
    lease = next;
  }
}

/** Gives it to the NIC. False when somebody else turns out to use it: then the server is told (§18.2.8). */
async function take(link, lease) {
  await assign(link, lease);
  for (;;) {
    const flags = await flagsOf(link, lease);
    if (flags === undefined) break;
    if ((flags & TENTATIVE) === 0) return true;
    await sleep(100);
  }
  if (linkLocalOf(link.nic) === undefined) throw new Error('its link is down');
  say(`${link.nic} was given ${lease.text}, which somebody else uses; asking for another`);
  const refused = [[OPTION.serverId, lease.server], association(lease)];
  const heard = (type) => (type === MESSAGE.reply ? true : undefined);
  await exchange(link, MESSAGE.decline, refused, PATIENCE.decline, heard);
  return false;
}

/** The kernel takes it away itself when its time is over. */
async function assign({ nic }, { text, valid, preferred }) {
  const times = ['valid_lft', String(valid), 'preferred_lft', String(preferred)];
  await ip(['-6', 'addr', 'replace', `${text}/128`, 'dev', nic, ...times]);
}

async function remove({ nic }, lease) {
  if ((await flagsOf({ nic }, lease)) === undefined) return;
  await ip(['-6', 'addr', 'del', `${lease.text}/128`, 'dev', nic]);
}

/** The kernel's flags of a NIC's address; `undefined` when the NIC does not have it. */
async function flagsOf({ nic }, { bytes }) {
  const lines = (await readFile('/proc/net/if_inet6', 'utf8')).trim().split('\n');
  const fields = lines.map((line) => line.split(/ +/));
  const mine = fields.find(([address, , , , , name]) => address === bytes.toString('hex') && name === nic);
  return mine && Number.parseInt(mine[4], 16);
}

/**
 * Sends a message until `accept` makes something of an answer (§15), and resolves with that; with `undefined` when the
 * patience is over. Answers to others, and what is no message, are passed over.
 */
function exchange({ nic, socket, duid }, type, options, { first, most, all }, accept) {
  const transaction = randomBytes(3);
  const began = Date.now();
  return new Promise((resolve) => {
    let wait = first;
    let timer;
    const end = (result) => {
      clearTimeout(timer);
      socket.off('message', hear);
      resolve(result);
    };
    const hear = (bytes) => {
      const answer = bytes.subarray(1, 4).equals(transaction) ? decode(bytes.subarray(4)) : undefined;
      if (answer === undefined || !optionOf(answer, OPTION.clientId)?.equals(duid)) return;
      const result = optionOf(answer, OPTION.serverId) && accept(bytes[0], answer);
      if (result !== undefined) end(result);
    };
    const send = () => {
      const elapsed = Date.now() - began;
      if (elapsed >= all) return end(undefined);
      const message = encodeMessage(type, transaction, [[OPTION.clientId, duid], ...options], elapsed);
      socket.send(message, PORT.server, `${SERVERS}%${nic}`, (error) => {
        if (error) say(`DHCPv6 on ${nic} cannot be asked for: ${error.message}; trying again`);
      });
      timer = setTimeout(send, Math.min(wait * (0.9 + Math.random() * 0.2), all - elapsed));
      wait = Math.min(wait * 2, most);
    };
    socket.on('message', hear);
    send();
  });
}

/** The time since the first of its kind, milliseconds, goes with it in hundredths of a second (§21.9). */
function encodeMessage(type, transaction, options, elapsed) {
  const hundredths = Buffer.alloc(2);
  hundredths.writeUInt16BE(Math.min(Math.floor(elapsed / 10), 0xffff));
  const all = encode([...options, [OPTION.elapsed, hundredths]]);
  return Buffer.concat([Uint8Array.of(type), transaction, all]);
}

/** The lease of a reply. */
function granted(type, options) {
  return type === MESSAGE.reply ? leaseOf(options) : undefined;
}

/** The first address whose time is not over, and its times in seconds; where the server leaves them to us, as in §21.4. */
function leaseOf(options) {
  const ia = optionOf(options, OPTION.iaNa);
  const inner = ia === undefined || ia.length < 12 ? undefined : decode(ia.subarray(12));
  const value = inner?.find(
    ([code, each]) => code === OPTION.iaAddress && each.length >= 24 && each.readUInt32BE(20) > 0,
  )?.[1];
  if (value === undefined) return undefined;
  const [preferred, valid] = [value.readUInt32BE(16), value.readUInt32BE(20)];
  const bytes = Buffer.from(value.subarray(0, 16));
  return {
    server: Buffer.from(optionOf(options, OPTION.serverId)),
    bytes,
    text: textOf(bytes),
    preferred: Math.min(preferred, valid),
    valid,
    renew: Math.min(ia.readUInt32BE(4) || Math.floor(valid * 0.5), valid),
    rebind: Math.min(ia.readUInt32BE(8) || Math.floor(valid * 0.8), valid),
  };
}

/** Without leading zeros; URLs have brackets. `new URL` knows RFC 5952. */
function textOf(bytes) {
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** Our one identity association (§21.4), naming a lease's address where there is one. */
function association(lease) {
  const address = lease && encode([[OPTION.iaAddress, Buffer.concat([lease.bytes, Buffer.alloc(8)])]]);
  return [
    OPTION.iaNa,
    Buffer.concat([Uint8Array.of(0, 0, 0, 1), Buffer.alloc(8), ...(address ? [address] : [])]),
  ];
}

function encode(options) {
  return Buffer.concat(
    options.flatMap(([code, value]) => {
      const head = Buffer.alloc(4);
      head.writeUInt16BE(code);
      head.writeUInt16BE(value.length, 2);
      return [head, value];
    }),
  );
}

/** Pairs of code and value; `undefined` when one runs past the end. */
function decode(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 > bytes.length ? Number.POSITIVE_INFINITY : at + 4 + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) return undefined;
    found.push([bytes.readUInt16BE(at), bytes.subarray(at + 4, end)]);
    at = end;
  }
  return found;
}

function optionOf(options, code) {
  return options.find(([each]) => each === code)?.[1];
}

function say(line) {
  process.stdout.write(`overdub: ${line}\n`);
}
