/** `grub/machine/<our address>/<cpu>/<mac>.cfg`: the configuration of one boot of one machine. */

import { isIPv4, isIPv6 } from 'node:net';
import {
  type Artifact,
  type BootAnswer,
  type BootArch,
  type BootRequest,
  type Log,
  type NetbootService,
  normalizeMac,
} from '@overdub/core/agent';
import { isServed, textArtifact } from '@overdub/lib-boot';
import { localConfig, noRamdiskConfig, ramdiskFor } from './scripts.ts';

/** What the names are answered with; `netboot` and `httpPort` are asked at each request. */
export interface ConfigDeps {
  netboot(): NetbootService;
  httpPort(): number;
  readonly log: Log;
}

const NAME = /^grub\/machine\/([0-9a-f.:]{2,45})\/(x86_64|arm64)\/([0-9a-f:]{17})\.cfg$/;
/** GRUB's `$grub_cpu`. */
const CPUS: Readonly<Record<string, BootArch>> = { x86_64: 'uefi-x86_64', arm64: 'uefi-arm64' };

const BUILD: Partial<Record<BootArch, string>> = { 'uefi-arm64': 'overdub ramdisk build --arch arm64' };

/** `undefined` for other names, and for machines that get nothing. */
export async function machineConfig(name: string, deps: ConfigDeps): Promise<Artifact | undefined> {
  const request = requestOf(name, deps.httpPort());
  if (request === undefined) return undefined;
  const answer = await deps.netboot().answer(request);
  deps.log.info(
    { mac: request.mac, arch: request.arch, plan: answer.plan.kind },
    'GRUB asks for its configuration',
  );
  const text = await textOf(answer, request, deps);
  return text === undefined ? undefined : textArtifact(text);
}

/** The question for the core. Every value is checked: it comes back in a script. */
export function requestOf(name: string, httpPort: number): BootRequest | undefined {
  const [, address = '', cpu = '', rawMac = ''] = NAME.exec(name) ?? [];
  const [arch, mac] = [CPUS[cpu], normalizeMac(rawMac)];
  const host = hostOf(address);
  if (arch === undefined || mac === undefined || host === undefined) return undefined;
  return { mac, arch, client: 'grub', stage: 'script', baseUrl: `http://${host}:${httpPort}` };
}

/** GRUB writes all eight groups of an IPv6 address; a URL has them in brackets, in RFC 5952's form. */
function hostOf(address: string): string | undefined {
  if (isIPv6(address)) return new URL(`http://[${address}]`).hostname;
  return isIPv4(address) ? address : undefined;
}

async function textOf(
  { plan, rendered }: BootAnswer,
  request: BootRequest,
  deps: ConfigDeps,
): Promise<string | undefined> {
  if (plan.kind === 'local') return localConfig();
  if (plan.kind !== 'ramdisk' || rendered?.kind !== 'script') return undefined;
  if (await isServed(deps.netboot(), ramdiskFor(request.arch).kernel)) return rendered.text;
  const { mac, arch } = request;
  deps.log.warn(
    { mac, arch },
    `there is no ramdisk for it: run \`${BUILD[arch] ?? 'overdub ramdisk build'}\``,
  );
  return noRamdiskConfig(arch);
}
