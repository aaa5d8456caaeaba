import { deltaCodecConformance } from '@overdub/core/testing';
import { rsyncCodec } from './codec.ts';

deltaCodecConformance('diff-rsync', rsyncCodec());
