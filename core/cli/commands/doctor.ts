import { type Command, defineCommand } from '../command.ts';
import { configurationOf } from '../configuration.ts';
import { type Check, hostChecks } from '../host-checks.ts';

/** What is missing on this host, and what to do about it. Exit code 1 when something required is. */
export const doctorCommand: Command = defineCommand({
  path: ['doctor'],
  summary: 'Tell what is missing on this host: Node, Debian packages, ports, state directory',
  positionals: [],
  flags: {
    config: {
      type: 'string',
      value: 'FILE',
      summary: 'Configuration to check for (overdub.config.* here, else the defaults)',
    },
    state: { type: 'string', value: 'DIR', summary: 'State directory to check' },
  },
  examples: ['overdub doctor', 'overdub doctor --config overdub.config.ts --state /var/lib/overdub'],
  async run(call) {
    const given = { config: call.text('config'), state: call.text('state') };
    const { config, state } = await configurationOf(given, call.environment);
    const checks = await hostChecks({
      plugins: new Set(config.plugins.map(({ definition }) => definition.name)),
      http: config.http ?? {},
      state,
    });
    const bad = checks.filter(({ ok, required }) => !ok && required);
    call.show({ ok: bad.length === 0, checks }, () => [...checks.map(line), summaryOf(bad)].join('\n'));
    return bad.length === 0 ? 0 : 1;
  },
});

function line({ ok, required, name, detail, remedy }: Check): string {
  const mark = ok ? 'ok     ' : required ? 'MISSING' : 'warning';
  return `${mark}  ${name}: ${detail}${ok || remedy === undefined ? '' : `\n         → ${remedy}`}`;
}

function summaryOf(bad: readonly Check[]): string {
  return bad.length === 0
    ? 'Nothing that is required is missing.'
    : `${bad.length} to put right before \`overdub up\`.`;
}
