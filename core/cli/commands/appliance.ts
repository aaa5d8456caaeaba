import type { ApplianceControl } from '../../contracts/control.ts';
import type { RepositoryUsage } from '../../contracts/repository.ts';
import { type Call, type Command, defineCommand, UsageError } from '../command.ts';
import { configurationOf } from '../configuration.ts';
import { facts, time } from '../format.ts';
import { usageText } from '../usage-text.ts';

type Info = Awaited<ReturnType<ApplianceControl['info']>>;

export const applianceCommands: readonly Command[] = [
  defineCommand({
    path: ['up'],
    summary: 'Run the appliance until it is interrupted',
    positionals: [],
    flags: {
      config: {
        type: 'string',
        value: 'FILE',
        summary: 'Configuration (overdub.config.* here, else the defaults)',
      },
      state: { type: 'string', value: 'DIR', summary: 'Where it keeps everything of its own' },
      host: { type: 'string', value: 'ADDRESS', summary: 'Address to listen on' },
      port: { type: 'string', value: 'PORT', summary: 'TCP port of API, agents and boot files (7077)' },
    },
    examples: [
      'overdub up',
      'overdub up --config overdub.config.ts --state /var/lib/overdub --host 10.0.0.1',
    ],
    run: up,
  }),
  defineCommand({
    path: ['stats'],
    summary: 'Show the appliance and what its repository holds, by form, server and master',
    positionals: [],
    flags: {},
    examples: ['overdub stats', 'overdub stats --json'],
    async run(call) {
      const client = call.client();
      const info = await client.get<Info>('/info');
      const usage = await client.get<RepositoryUsage>('/repository/stats');
      call.show({ ...info, usage }, () => `${describe(info)}\n\n${usageText(usage)}`);
      return 0;
    },
  }),
];

/** Prints where it listens and, once in the life of a state directory, the admin token; stops cleanly on a signal. */
async function up(call: Call): Promise<number> {
  const { environment } = call;
  const http = httpOf(call);
  const given = { config: call.text('config'), state: call.text('state') };
  const { config, state, file } = await configurationOf(given, environment);
  const { createAppliance } = await import('../../index.ts');
  const appliance = await createAppliance(
    { ...config, http: { ...config.http, ...http } },
    { stateDir: state },
  );
  if (environment.signal.aborted) return 0;
  await appliance.start();
  try {
    announce(call, { url: appliance.url, firstToken: appliance.firstToken, state, config: file });
    await untilAborted(environment.signal);
  } finally {
    await appliance.stop();
  }
  return 0;
}

function announce(
  { json, environment }: Call,
  up: {
    readonly url: string;
    readonly firstToken: string | undefined;
    readonly state: string;
    readonly config: string | undefined;
  },
): void {
  if (json) {
    // One line, so that a reader knows when it is whole.
    environment.out(`${JSON.stringify(up)}\n`);
    return;
  }
  const token =
    up.firstToken === undefined
      ? []
      : ['', 'The first admin token, shown this once:', `  export OVERDUB_TOKEN=${up.firstToken}`];
  environment.out(
    [
      `Overdub listens at ${up.url}`,
      `  configuration ${up.config ?? 'the defaults'}, state ${up.state}`,
      ...token,
      '',
    ].join('\n'),
  );
}

function httpOf(call: Call): { readonly host?: string; readonly port?: number } {
  const [host, port] = [call.text('host'), call.text('port')];
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) <= 65_535)) {
    throw new UsageError(`--port must be a number up to 65535, not \`${port}\`.`);
  }
  return { ...(host === undefined ? {} : { host }), ...(port === undefined ? {} : { port: Number(port) }) };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function describe({ version, startedAt, state, plugins }: Info): string {
  return facts([
    ['version', version],
    ['started', time(startedAt)],
    ['state', state],
    [
      'plugins',
      plugins
        .map((plugin) => `${plugin.name}${plugin.state === 'running' ? '' : ` (${plugin.state})`}`)
        .join(' '),
    ],
  ]);
}
