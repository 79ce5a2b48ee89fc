// Requests to the run. What changes anything carries a header that no other site can send.
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `HTTP ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function answered(response) {
  if (response.status === 401) location.assign("/sign-in");
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

export async function get(path) {
  return answered(await fetch(path, { headers: { Accept: "application/json" } }));
}

export async function post(path, content) {
  return answered(
    await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Flowrt-Page": "1" },
      body: JSON.stringify(content),
    }),
  );
}
