import { deltaCodecConformance } from '@overdub/core/testing';
import { bsdiffCodec } from './codec.ts';

deltaCodecConformance('diff-bsdiff', bsdiffCodec());
