// Goes on by itself where a press of a button would do, and asks where the payment stands.
'use strict';
{
  const body = document.body;
  const on = document.getElementById('on');
  if (on && 'auto' in body.dataset) {
    // The page is seen for a moment first; who comes back by "Back" is not sent on again.
    const [entry] = performance.getEntriesByType('navigation');
    if (!entry || entry.type !== 'back_forward') {
      setTimeout(() => (on.requestSubmit ? on.requestSubmit() : on.click()), 400);
    }
  }

  const ends = document.querySelector('[data-ends]');
  if (ends) {
    const at = Date.parse(ends.dateTime);
    ends.textContent = new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  }

  if (body.dataset.poll) {
    let gap = 1500;
    const ask = async () => {
      try {
        const answer = await fetch(body.dataset.poll, { cache: 'no-store' });
        if (answer.ok) {
          const said = await answer.json();
          if (said.next) {
            location.replace(said.next);
            return;
          }
        }
        if (answer.status === 429) gap = 20000;
      } catch {
        // The connection is away: it is asked again.
      }
      gap = Math.min(gap * 1.1, 20000);
      setTimeout(ask, gap);
    };
    setTimeout(ask, gap);
  }
}
