/** UEFI HTTP Boot (UEFI 2.10 §24.7): names the URL that firmware loads; boot-pxe says it in DHCP. */

import { type BootArch, definePlugin, type NetbootService, OverdubError } from '@overdub/core';
import { checkedBaseUrl } from '@overdub/lib-boot';
import { HttpOptions } from './options.ts';
import { fileOf, renderBoot } from './render.ts';

/** See README.md. */
export default definePlugin({
  name: 'boot-http',
  apiVersion: '^1.0.0',
  options: HttpOptions,
  requires: ['boot-pxe'],
  apply(ctx, options) {
    if (options.url !== undefined) checkedBaseUrl(options.url);
    ctx.hooks.boot.render.tap((input) => renderBoot(input, options));
    return undefined;
  },
  start: (ctx, options) => checkFiles(ctx.netboot, options),
});

/** Every file that machines will be sent to is served by somebody, or PREREQUISITE_MISSING. */
async function checkFiles(netboot: NetbootService, options: HttpOptions): Promise<void> {
  const architectures: readonly BootArch[] = ['uefi-x86_64', 'uefi-arm64'];
  for (const arch of architectures) {
    const file = fileOf(arch, options);
    if (file === undefined || (await netboot.artifact(file)) !== undefined) continue;
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `boot-http: no plugin serves ${file}, so no ${arch} machine could boot by HTTP.`,
      'Add boot-ipxe to the configuration, or correct the option `files` of boot-http.',
      { plugin: 'boot-http' },
    );
  }
}
