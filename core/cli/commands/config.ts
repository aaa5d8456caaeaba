import type { PluginStatus } from '../../contracts/control.ts';
import type { Inspection, SchemaNode } from '../../index.ts';
import { type Call, type Command, defineCommand, type Flag } from '../command.ts';
import { type Configuration, configurationOf } from '../configuration.ts';
import { table } from '../format.ts';
import { localClock, stderrLog } from '../local.ts';

const CONFIG_FLAGS: Readonly<Record<string, Flag>> = {
  config: {
    type: 'string',
    value: 'FILE',
    summary: 'Configuration (overdub.config.* here, else the defaults)',
  },
};

export const configCommands: readonly Command[] = [
  defineCommand({
    path: ['config', 'check'],
    summary: 'Check a configuration without starting anything',
    positionals: ['[FILE]'],
    flags: CONFIG_FLAGS,
    examples: ['overdub config check', 'overdub config check /etc/overdub/overdub.config.ts'],
    async run(call) {
      const { configuration, inspection } = await inspect(call);
      const file = configuration.file ?? 'the defaults';
      const names = inspection.plugins.map(({ name }) => name);
      call.show({ ok: true, file, state: configuration.state, plugins: names }, () =>
        [`${file}: right`, ...names.map((name) => `  ${name}`)].join('\n'),
      );
      return 0;
    },
  }),
  defineCommand({
    path: ['plugin', 'list'],
    summary: 'List plugins with their hooks and options, or with --running their state in the appliance',
    positionals: [],
    flags: { ...CONFIG_FLAGS, running: { type: 'boolean', summary: 'Ask the running appliance' } },
    examples: ['overdub plugin list', 'overdub plugin list --running'],
    async run(call) {
      if (call.flag('running')) return listRunning(call);
      const { inspection } = await inspect(call);
      const rows = inspection.plugins.map(({ name, state, hooks, options }) => [
        name,
        state,
        hooks.join(' ') || '-',
        Object.keys(options.properties ?? {}).join(' ') || '-',
      ]);
      const { allowedText } = await import('../../index.ts');
      call.show(
        inspection.plugins.map((plugin) => withWords(plugin, allowedText)),
        () => table(['plugin', 'state', 'hooks', 'options'], rows),
      );
      return 0;
    },
  }),
];

async function inspect(call: Call): Promise<{ configuration: Configuration; inspection: Inspection }> {
  const config = call.positionals()[0] ?? call.text('config');
  const configuration = await configurationOf({ config }, call.environment);
  const { inspectPlugins } = await import('../../index.ts');
  const inspection = inspectPlugins(configuration.config, {
    state: configuration.state,
    log: stderrLog(call.environment),
    clock: localClock,
  });
  return { configuration, inspection };
}

async function listRunning(call: Call): Promise<number> {
  const { plugins } = await call.client().get<{ plugins: PluginStatus[] }>('/info');
  const rows = plugins.map(({ name, state, optional, error }) => [
    name,
    state,
    optional ? 'optional' : 'required',
    error ?? '',
  ]);
  call.show(plugins, () => table(['plugin', 'state', '', 'error'], rows));
  return 0;
}

/** Options with what they allow in words: what documentation shows. */
function withWords(
  { options, ...plugin }: Inspection['plugins'][number],
  allowedText: (schema: SchemaNode) => string,
): object {
  const words = Object.entries(options.properties ?? {}).map(([name, schema]) => [
    name,
    {
      allowed: allowedText(schema),
      required: options.required?.includes(name) === true && schema.default === undefined,
      ...(schema.default === undefined ? {} : { default: schema.default }),
      ...(schema.description === undefined ? {} : { description: schema.description }),
    },
  ]);
  return { ...plugin, options: Object.fromEntries(words) };
}
