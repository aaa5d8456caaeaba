/** Names boot files by DHCPv6 where somebody else has the addresses; IPv4 is nobody's there. */

import { bootConfig } from './plugins.ts';

export default bootConfig({ ipv6: {} }, '::');
