// Which error of a failed log to begin with. The twin of `cause_of` in jobs/views/ending.py.

const CAUSE_GAP_LINES = 100;

// Of the errors (lines, in order) the one to begin with: the first of those that stand together at the end. An
// early one may have been harmless, and the last ones only tell that those before it happened.
export function causeOf(errors) {
  let at = errors.length - 1;
  while (at > 0 && errors[at] - errors[at - 1] <= CAUSE_GAP_LINES) at -= 1;
  return errors[at];
}
