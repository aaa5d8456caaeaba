/** `GET /boot/ipxe/script?mac=&uuid=&arch=`: the script of one boot of one machine. */

import type {
  BootAnswer,
  BootArch,
  BootRequest,
  Log,
  NetbootService,
  RouteContribution,
} from '@overdub/core';
import { normalizeMac, normalizeUuid, OverdubError } from '@overdub/core/agent';
import { isAuthority } from '@overdub/lib-boot';
import type { IpxeOptions } from './options.ts';
import { siteOf } from './render.ts';
import { localScript } from './scripts.ts';

type Server = Parameters<RouteContribution['register']>[0];

/** What the route needs; `netboot` is asked at each request. */
export interface ScriptDeps {
  netboot(): NetbootService;
  readonly log: Log;
  readonly options: IpxeOptions;
}

/** Our URL says the architecture; a hand-written chain may use iPXE's `${platform}`. */
const ARCHITECTURES: Readonly<Record<string, BootArch>> = {
  'bios-x86': 'bios-x86',
  pcbios: 'bios-x86',
  'uefi-x86_64': 'uefi-x86_64',
  efi: 'uefi-x86_64',
};

/** Adds the route, whether or not `server` already carries the prefix `/boot/ipxe`. */
export function registerScript(server: Server, deps: ScriptDeps): void {
  const url = server.prefix.endsWith('/boot/ipxe') ? '/script' : '/boot/ipxe/script';
  server.get(url, async (request, reply) => {
    reply.type('text/plain; charset=utf-8').header('cache-control', 'no-store');
    const asked = bootRequestOf(request.query, request.headers.host, request.ip);
    if (asked instanceof OverdubError) return reply.code(400).send(`${asked.message} ${asked.remedy}\n`);
    const answer = await deps.netboot().answer(asked);
    const script = scriptOf(answer, asked, deps.options);
    deps.log.info({ mac: asked.mac, arch: asked.arch, plan: answer.plan.kind }, 'iPXE asks for its script');
    return script === undefined
      ? reply.code(404).send('nothing to boot for this machine\n')
      : reply.send(script);
  });
}

function scriptOf(
  { plan, rendered }: BootAnswer,
  request: BootRequest,
  options: IpxeOptions,
): string | undefined {
  if (plan.kind === 'local') return localScript(siteOf(request, options));
  return plan.kind === 'ramdisk' && rendered?.kind === 'script' ? rendered.text : undefined;
}

/** The question for the core, or why there is none. Every value is checked: it comes back in a script. */
export function bootRequestOf(
  query: unknown,
  host: string | undefined,
  ip: string,
): BootRequest | OverdubError {
  const { mac: rawMac, uuid: rawUuid, arch: rawArch } = (query ?? {}) as Record<string, unknown>;
  const mac = typeof rawMac === 'string' ? normalizeMac(rawMac) : undefined;
  if (mac === undefined) return refused('`mac` must be a MAC address, as in 52:54:00:12:34:56.');
  const arch =
    typeof rawArch === 'string' && Object.hasOwn(ARCHITECTURES, rawArch) ? ARCHITECTURES[rawArch] : undefined;
  if (arch === undefined) return refused(`\`arch\` must be one of ${Object.keys(ARCHITECTURES).join(', ')}.`);
  if (host === undefined || !isAuthority(host)) return refused('the Host header must name this appliance.');
  const uuid = typeof rawUuid === 'string' ? normalizeUuid(rawUuid) : undefined;
  return {
    mac,
    arch,
    client: 'ipxe',
    stage: 'script',
    ip,
    baseUrl: `http://${host}`,
    ...(uuid === undefined ? {} : { uuid }),
  };
}

function refused(what: string): OverdubError {
  return new OverdubError('INPUT_INVALID', `No script: ${what}`, 'Let DHCP name the URL; it has all of it.');
}
