// Where nodes and edges of a graph stand: dagre, left to right, the nodes of one camera together.
import dagre from "../../vendor/dagre.js";

export const NODE = { width: 158, height: 52 };

export const edgeKey = (edge) => `${edge.source}\n${edge.target}\n${edge.field}\n${edge.port}`;

export function layout(flow) {
  const graph = new dagre.graphlib.Graph({ multigraph: true, compound: true });
  graph.setGraph({ rankdir: "LR", nodesep: 9, edgesep: 9, ranksep: 54, marginx: 12, marginy: 12, ranker: "tight-tree" });
  for (const node of flow.nodes) graph.setNode(node.name, { ...NODE });
  const lanes = lanesOf(flow);
  if (lanes.size > 1) {
    for (const [lane, names] of lanes) {
      graph.setNode(laneKey(lane), {});
      for (const name of names) graph.setParent(name, laneKey(lane));
    }
  }
  for (const edge of flow.edges) graph.setEdge(edge.source, edge.target, { weight: edge.side ? 1 : 4 }, edgeKey(edge));
  dagre.layout(graph);
  return drawn(flow, graph, lanes);
}

const laneKey = (lane) => `lane ${lane}`;

function lanesOf(flow) {
  const lanes = new Map();
  for (const { name, lane } of flow.nodes) {
    if (lane && flow.cameras.some((camera) => camera.name === lane)) lanes.set(lane, [...(lanes.get(lane) ?? []), name]);
  }
  return lanes;
}

function drawn(flow, graph, lanes) {
  const nodes = flow.nodes.map((node) => ({ ...node, ...graph.node(node.name) }));
  const edges = flow.edges.map((edge) => {
    const { points } = graph.edge({ v: edge.source, w: edge.target, name: edgeKey(edge) });
    return { ...edge, key: edgeKey(edge), path: curve(points), at: points[Math.floor(points.length / 2)] };
  });
  const bands = lanes.size > 1 ? [...lanes.keys()].map((lane) => ({ lane, ...graph.node(laneKey(lane)) })) : [];
  const { width, height } = graph.graph();
  return { nodes, edges, bands, width, height };
}

function curve(points) {
  const [first, ...rest] = points;
  let path = `M${round(first)}`;
  for (let i = 0; i < rest.length - 1; i += 1) {
    const [a, b] = [rest[i], rest[i + 1]];
    const end = i === rest.length - 2 ? b : { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    path += `Q${round(a)} ${round(end)}`;
  }
  return rest.length === 1 ? `${path}L${round(rest[0])}` : path;
}

const round = ({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`;
