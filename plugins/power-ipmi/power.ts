/** One machine's power by its IPMI management controller (IPMI 2.0 §28, chassis commands). */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Firmware, PowerControl, PowerState } from '@overdub/core/agent';
import { ipmiFacts } from './facts.ts';

const run = promisify(execFile);

export interface Controller {
  readonly host: string;
  readonly port?: number;
  readonly user: string;
  /** One of the two. ipmitool reads it; it stands on no command line. */
  readonly passwordFile?: string;
  readonly passwordEnv?: string;
  readonly cipherSuite?: number;
  readonly privilege?: 'OPERATOR' | 'ADMINISTRATOR';
}

export interface IpmiSettings {
  readonly program: string;
  /** Legacy and UEFI network boot are two things to a controller. */
  readonly firmware: Firmware | undefined;
}

/**
 * No `cycle`: controllers do not agree on what theirs does to a machine that is off, or how long it stays off. The core
 * switches off, sees that it is off, and switches on.
 */
export function ipmiPower(controller: Controller, settings: IpmiSettings): PowerControl {
  const chassis = (signal: AbortSignal, ...order: readonly string[]): Promise<string> =>
    ipmitool(controller, settings.program, ['chassis', ...order], signal);
  return {
    where: `ipmi ${controller.host}`,
    features: { off: true, cycle: false, state: true, netboot: true, facts: true },
    on: async (signal) => void (await chassis(signal, 'power', 'on')),
    off: async (signal) => void (await chassis(signal, 'power', 'off')),
    state: async (signal) => stateOf(await chassis(signal, 'power', 'status')),
    async netboot(signal) {
      const efi = settings.firmware === 'uefi' ? ['options=efiboot'] : [];
      await chassis(signal, 'bootdev', 'pxe', ...efi);
    },
    facts: (signal) => ipmiFacts((...order) => ipmitool(controller, settings.program, order, signal), signal),
  };
}

async function ipmitool(
  controller: Controller,
  program: string,
  order: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const { host, port = 623, user, passwordFile, passwordEnv, cipherSuite, privilege } = controller;
  const secret = passwordFile === undefined ? ['-E'] : ['-f', passwordFile];
  const password = passwordEnv === undefined ? undefined : process.env[passwordEnv];
  if (passwordEnv !== undefined && password === undefined) throw new Error(`${passwordEnv} is not set`);
  const args = [
    ...['-I', 'lanplus', '-H', host, '-p', String(port), '-U', user, ...secret],
    ...(cipherSuite === undefined ? [] : ['-C', String(cipherSuite)]),
    ...(privilege === undefined ? [] : ['-L', privilege]),
    // Its own repetition, short: the core repeats as well.
    ...['-N', '2', '-R', '2', ...order],
  ];
  try {
    const { stdout } = await run(program, args, {
      signal,
      env: {
        PATH: process.env.PATH ?? '/usr/bin',
        HOME: process.env.HOME ?? '/',
        ...(password === undefined ? {} : { IPMI_PASSWORD: password }),
      },
    });
    return stdout;
  } catch (error) {
    signal.throwIfAborted();
    const { stderr = '', message } = error as { stderr?: string; message: string };
    throw new Error(stderr.trim() === '' ? message : stderr.trim());
  }
}

function stateOf(text: string): PowerState {
  const word = /Chassis Power is (on|off)/i.exec(text)?.[1]?.toLowerCase();
  return word === 'on' || word === 'off' ? word : 'unknown';
}
