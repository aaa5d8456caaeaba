/** What a plugin gets: small, and never the engine. */

import type { FastifyInstance } from 'fastify';
import type { HookTaps } from '../hooks/hooks.ts';
import type { AgentHalf } from './agent-half.ts';
import type { NetbootService } from './boot.ts';
import type { Clock } from './clock.ts';
import type { ApplianceControl } from './control.ts';
import type { Log } from './log.ts';

export interface PluginContext {
  readonly name: string;
  readonly hooks: HookTaps;
  readonly log: Log;
  readonly clock: Clock;
  /** Absolute path of a directory of this plugin's own, made on first use by `ensureStateDir`. */
  readonly stateDir: string;
  ensureStateDir(): Promise<string>;
  /** Aborts when the plugin is to stop. */
  readonly signal: AbortSignal;
  readonly netboot: NetbootService;
  /** Where the appliance's HTTP server listens; known from `start` on. */
  readonly http: { readonly port: number };
  /** Everything the API and CLI can do. For faces (api-http, console), not for drivers. */
  readonly control: ApplianceControl;
}

/** Routes a plugin adds to the appliance's HTTP server, under a prefix of its own. */
export interface RouteContribution {
  /** `/api`, `/boot/ipxe` … must not overlap another plugin's. */
  readonly prefix: string;
  register(server: FastifyInstance): Promise<void> | void;
}

/** A CLI command a plugin adds: `overdub <path…>`. */
export interface CommandContribution {
  readonly path: readonly string[];
  readonly summary: string;
  readonly usage: string;
  readonly examples: readonly string[];
  /** The agent's bundle holds the command too, and runs it when it is started as a program (`AgentBundle.entry`). */
  readonly bundled?: true;
  /** Returns the exit code. */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

export interface CommandIo {
  readonly json: boolean;
  print(line: string): void;
  error(line: string): void;
  /** OVERDUB_URL and OVERDUB_TOKEN, when set. */
  readonly url?: string;
  readonly token?: string;
  /** The agent halves of the configured plugins, for commands that work on a directory of this machine. */
  readonly agentHalves?: () => Promise<readonly AgentHalf[]>;
  readonly signal: AbortSignal;
}
