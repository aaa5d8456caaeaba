/** The DHCPv6 server of its own network; nobody gives out IPv4 addresses there. */

import { bootConfig } from './plugins.ts';

export default bootConfig({ ipv6: { pool: { from: 'fd77::100', to: 'fd77::1ff' } } }, '::');
