/** For tests: a Redfish service over HTTPS with one system, after DMTF's ComputerSystem schema and its mockups. */

import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const USER = 'overdub';
export const PASSWORD = 's3cret-77';
const SYSTEM = '/redfish/v1/Systems/437XR1138R2';
const SESSIONS = '/redfish/v1/SessionService/Sessions';
const MANAGER = '/redfish/v1/Managers/BMC';
const CHASSIS = '/redfish/v1/Chassis/1U';
const at = (path: string): object => ({ '@odata.id': path });

/** Of DMTF's public-rackmount1 mockup. */
const RESOURCES: Readonly<Record<string, object>> = {
  [MANAGER]: { FirmwareVersion: '1.45.455b66-rev4', EthernetInterfaces: at(`${MANAGER}/EthernetInterfaces`) },
  [`${MANAGER}/EthernetInterfaces`]: { Members: [at(`${MANAGER}/EthernetInterfaces/eth0`)] },
  [`${MANAGER}/EthernetInterfaces/eth0`]: { MACAddress: '23:11:8A:33:CF:EA' },
  [CHASSIS]: { Power: at(`${CHASSIS}/Power`) },
  [`${CHASSIS}/Power`]: { PowerControl: [{ PowerConsumedWatts: 344 }] },
};

export interface TestService {
  readonly url: string;
  readonly certificate: string;
  readonly passwordFile: string;
  /** May be changed while it runs. */
  readonly machine: {
    power: 'On' | 'Off';
    resetTypes: readonly string[];
    systems: readonly string[];
    offersSessions: boolean;
    links: boolean;
  };
  /** Tokens of open sessions, by path; clear it and all have run out. */
  readonly sessions: Map<string, string>;
  /** How requests proved who they are, in order. */
  readonly proofs: ('basic' | 'session')[];
  /** Reset types and `netboot`, as they were ordered. */
  readonly orders: string[];
  /** Requests that came with credentials. */
  readonly trusted: { count: number };
  /** The last `Boot` that was patched. */
  boot(): Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

export async function startService(): Promise<TestService> {
  const home = await mkdtemp(path.join(os.tmpdir(), 'overdub-redfish-'));
  const passwordFile = path.join(home, 'password');
  await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  const { key, cert } = await selfSigned(home);
  const machine: TestService['machine'] = {
    power: 'Off',
    resetTypes: ['On', 'ForceOff', 'GracefulShutdown', 'ForceRestart', 'PushPowerButton'],
    systems: [SYSTEM],
    offersSessions: true,
    links: true,
  };
  const sessions = new Map<string, string>();
  const proofs: ('basic' | 'session')[] = [];
  let opened = 0;
  const orders: string[] = [];
  const trusted = { count: 0 };
  let boot: Record<string, unknown> = {};

  const server = https.createServer({ key, cert }, async (request, response) => {
    const expected = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
    const open = `${request.method} ${request.url}`;
    if (open === 'GET /redfish/v1/')
      return answer(response, {
        '@odata.id': '/redfish/v1/',
        Links: machine.offersSessions ? { Sessions: { '@odata.id': SESSIONS } } : {},
      });
    if (open === `POST ${SESSIONS}`) {
      const { UserName, Password } = (await bodyOf(request)) as Record<string, string>;
      if (UserName !== USER || Password !== PASSWORD)
        return refuse(response, 401, 'The credentials are wrong.');
      const path = `${SESSIONS}/${++opened}`;
      sessions.set(path, `token-${opened}`);
      response.setHeader('x-auth-token', `token-${opened}`).setHeader('location', path);
      return answer(response, { '@odata.id': path }, 201);
    }
    const token = request.headers['x-auth-token'];
    const inSession = [...sessions.values()].some((each) => each === token);
    if (!inSession && request.headers.authorization !== expected)
      return refuse(response, 401, 'The credentials are wrong.');
    proofs.push(inSession ? 'session' : 'basic');
    if (request.method === 'DELETE' && sessions.delete(request.url ?? ''))
      return answer(response, undefined, 204);
    const found = machine.links ? RESOURCES[request.url ?? ''] : undefined;
    if (found !== undefined) return answer(response, found);
    trusted.count += 1;
    const body = await bodyOf(request);
    const what = `${request.method} ${request.url}`;
    if (what === 'GET /redfish/v1/Systems') {
      return answer(response, { Members: machine.systems.map((id) => ({ '@odata.id': id })) });
    }
    if (what === `GET ${SYSTEM}`) return answer(response, system(machine));
    if (what === `PATCH ${SYSTEM}`) {
      if (request.headers['if-match'] !== 'W/"1"') return refuse(response, 412, 'If-Match is missing.');
      boot = (body as { Boot: Record<string, unknown> }).Boot;
      if (boot.BootSourceOverrideTarget === 'Pxe' && boot.BootSourceOverrideEnabled === 'Once')
        orders.push('netboot');
      return answer(response, undefined, 204);
    }
    if (what === `POST ${SYSTEM}/Actions/ComputerSystem.Reset`) {
      const { ResetType } = body as { ResetType: string };
      if (!machine.resetTypes.includes(ResetType))
        return refuse(response, 400, `${ResetType} is not allowed.`);
      if (ResetType === 'On' && machine.power === 'On') return refuse(response, 409, 'It is on.');
      orders.push(ResetType);
      machine.power = ResetType === 'ForceOff' ? 'Off' : 'On';
      return answer(response, undefined, 204);
    }
    return refuse(response, 404, `There is no ${request.url}.`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    certificate: new X509Certificate(cert).fingerprint256,
    passwordFile,
    machine,
    sessions,
    proofs,
    orders,
    trusted,
    boot: () => boot,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(home, { recursive: true, force: true });
    },
  };
}

function system({ power, resetTypes }: TestService['machine']): object {
  return {
    '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
    '@odata.id': SYSTEM,
    '@odata.etag': 'W/"1"',
    Id: '437XR1138R2',
    Manufacturer: 'Contoso',
    Model: '3500',
    SerialNumber: '437XR1138R2',
    UUID: '38947555-7742-3448-3784-823347823834',
    BiosVersion: 'P79 v1.45 (12/06/2017)',
    Links: { ManagedBy: [at(MANAGER)], Chassis: [at(CHASSIS)] },
    PowerState: power,
    Boot: {
      BootSourceOverrideEnabled: 'Disabled',
      BootSourceOverrideTarget: 'None',
      'BootSourceOverrideTarget@Redfish.AllowableValues': ['None', 'Pxe', 'Hdd', 'BiosSetup'],
      BootSourceOverrideMode: 'UEFI',
    },
    Actions: {
      '#ComputerSystem.Reset': {
        target: `${SYSTEM}/Actions/ComputerSystem.Reset`,
        'ResetType@Redfish.AllowableValues': resetTypes,
      },
    },
  };
}

async function selfSigned(home: string): Promise<{ key: Buffer; cert: Buffer }> {
  const [key, cert] = [path.join(home, 'key.pem'), path.join(home, 'cert.pem')];
  const subject = ['-subj', '/CN=bmc.example', '-days', '2'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  await run('openssl', ['req', '-x509', '-nodes', ...curve, '-keyout', key, '-out', cert, ...subject]);
  return { key: await readFile(key), cert: await readFile(cert) };
}

async function bodyOf(request: http.IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const part of request) text += String(part);
  return text === '' ? undefined : JSON.parse(text);
}

function answer(response: http.ServerResponse, body: object | undefined, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json', 'odata-version': '4.0' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

function refuse(response: http.ServerResponse, status: number, message: string): void {
  const error = { code: 'Base.1.8.GeneralError', message, '@Message.ExtendedInfo': [{ Message: message }] };
  answer(response, { error }, status);
}
