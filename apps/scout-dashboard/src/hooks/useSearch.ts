import { useEffect, useEffectEvent, useState } from 'react'

/** Milliseconds without a key until it is looked for. */
const PAUSE = 300

/** A field that is typed into, and what is looked for: that follows once one pauses, and may also come from elsewhere, as from the address. */
export function useSearch(
  wanted: string,
  look: (text: string) => void,
): [string, (text: string) => void] {
  const [typed, setTyped] = useState(wanted)
  const [known, setKnown] = useState(wanted)
  if (wanted !== known) {
    setKnown(wanted)
    // A blank at the end is the beginning of another word.
    if (wanted !== typed.trim()) setTyped(wanted)
  }
  const onPause = useEffectEvent(() => {
    if (typed.trim() !== wanted) look(typed.trim())
  })
  useEffect(() => {
    const timer = setTimeout(onPause, PAUSE)
    return () => clearTimeout(timer)
  }, [typed])
  return [typed, setTyped]
}
