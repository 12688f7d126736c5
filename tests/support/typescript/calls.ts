// Calls every model of the endpoint with the generated types and prints what it answered as JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./winnow.js";

declare const process: { argv: string[] };
declare const console: { log(text: string): void };

type Answer = components["schemas"]["Answer"];

const winnow = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

const [recommended, stored, item, user, refused] = await Promise.all([
  winnow.POST("/v1/models/recommender:predict", {
    body: { instances: [{ user_id: "u00042", k: 5, filters: { where: "price < 100" }, reasons: true }] },
  }),
  winnow.POST("/v1/models/events:predict", {
    body: { instances: [{ user_id: "u00042", item_id: "i00007", event: "view", timestamp: "2026-01-31T12:00:00Z" }] },
  }),
  winnow.POST("/v1/models/items:predict", { body: { instances: [{ item_id: "i00007", action: "read" }] } }),
  winnow.POST("/v1/models/users:predict", { body: { instances: [{ user_id: "u00042", action: "read", n: 3 }] } }),
  winnow.POST("/v1/models/recommender:predict", { body: { instances: [{ user_id: "u00042", k: 100000 }] } }),
]);

// The compiler must refuse what the endpoint would: an unknown field, and a value of another type.
export const wrong: components["schemas"]["RecommendRequest"][] = [
  // @ts-expect-error: `usr_id` is not a field
  { usr_id: "u00042" },
  // @ts-expect-error: `k` is a number
  { user_id: "u00042", k: "5" },
];

const answer: Answer | undefined = recommended.data?.predictions[0];
console.log(
  JSON.stringify({
    items: answer?.items.map((each) => each.item_id),
    reasons: answer?.items.map((each) => each.reason?.text),
    stored: stored.data?.predictions[0]?.stream_id,
    item: item.data?.predictions[0],
    user: user.data?.predictions[0],
    refused: [refused.response.status, refused.error?.error],
  }),
);
