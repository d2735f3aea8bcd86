/** Moments as Celery writes them: ISO text in the zone of the app (`celery/utils/time.py`; wire-format 1.2). */
import { epochMsToIso } from '../../protocol/iso-time.js'
import { ConfigError } from '../errors.js'

/** The zone that an app writes times in: its `timezone`, else UTC, or the machine's when `enable_utc` is off. */
export function appZone(
  settings: { readonly timezone: string | null; readonly enableUtc: boolean },
  localZone: () => string = () => new Intl.DateTimeFormat().resolvedOptions().timeZone,
): string {
  return settings.timezone || (settings.enableUtc ? 'UTC' : localZone())
}

/** Writes epoch milliseconds in one IANA zone. */
export class ZonedTime {
  private readonly parts: Intl.DateTimeFormat | undefined

  /** Throws `ConfigError` for a zone that this machine does not know. */
  constructor(zone: string) {
    if (/^(utc|gmt|etc\/utc)$/i.test(zone)) return
    try {
      this.parts = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      })
    } catch (cause) {
      throw new ConfigError(`timezone: '${zone}' is not an IANA time zone; write it like 'Europe/Oslo'`, {
        cause,
      })
    }
  }

  /** `2026-11-20T11:29:03.726000+01:00`. */
  iso(epochMs: number): string {
    return epochMsToIso(epochMs, this.offsetSeconds(epochMs))
  }

  /** Seconds east of UTC at that moment. */
  offsetSeconds(epochMs: number): number {
    if (this.parts === undefined) return 0
    const part = Object.fromEntries(
      this.parts.formatToParts(epochMs).map(({ type, value }) => [type, Number(value)]),
    )
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part
    const wall = Date.UTC(year, month - 1, day, hour, minute, second)
    return Math.round((wall - Math.floor(epochMs / 1000) * 1000) / 1000)
  }
}
