import EventBus

extension TransportConformance {
    var routingChecks: [ConformanceCheck] {
        [
            check("patterns route as in AMQP") { scene in
                // Pattern, matching topics, and topics that do not match.
                let table: [(String, [String], [String])] = [
                    ("a", ["a"], ["b", "a.b"]),
                    ("a.*", ["a.b"], ["a", "a.b.c"]),
                    ("*.b", ["a.b"], ["b", "a.a.b"]),
                    ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c"]),
                    ("a.#", ["a", "a.b", "a.b.c"], ["b", "aa"]),
                    ("#.c", ["c", "a.c", "a.b.c"], ["c.a"]),
                    ("a.#.c", ["a.c", "a.b.c", "a.b.b.c"], ["a", "a.b", "c"]),
                    ("*.*", ["a.b"], ["a", "a.b.c"]),
                    ("#", ["a", "a.b.c"], []),
                    ("#.b.#", ["b", "a.b", "b.c", "a.b.c"], ["a", "a.c"]),
                ]
                let topics = Set(table.flatMap { $0.1 + $0.2 }).sorted()
                let bus = try await scene.makeBus()
                let seen = table.map { _ in DeliveryRecord() }
                for (index, row) in table.enumerated() {
                    let entries = seen[index]
                    bus.subscribe(to: try scene.pattern(row.0), group: scene.group(), name: "row\(index)") {
                        event,
                        _ in
                        entries.note(event.envelope)
                    }
                }
                try await scene.running(bus) {
                    for topic in topics { try await bus.publish(try scene.event(topic)) }
                    for (row, entries) in zip(table, seen) {
                        let pattern = try scene.pattern(row.0)
                        let expected = Set(try topics.map(scene.topic).filter(pattern.matches))
                        try expect(
                            try row.1.allSatisfy { expected.contains(try scene.topic($0)) }
                                && row.2.allSatisfy { !expected.contains(try scene.topic($0)) },
                            "the table is wrong about \(row.0)"
                        )
                        try await entries.wait(for: expected.count)
                        let received = entries.all.map(\.envelope.topic)
                        try expect(
                            Set(received) == expected && received.count == expected.count,
                            "\(row.0) should get \(expected), got \(received)"
                        )
                    }
                }
            },
            check("subscriptions to a type and a pattern, single or in batches, get the events whose topics match it") {
                scene in
                let bus = try await scene.makeBus()
                let (some, all) = (DeliveryRecord(), DeliveryRecord())
                let pattern = try TopicPattern(validating: "\(scene.id).customer.7.*")
                bus.subscribe(to: Ordered.self, matching: pattern, group: scene.group("some")) {
                    event,
                    context in
                    try expect(event.customer == "7", "customer \(event.customer) came to the handler of 7")
                    some.note(context.envelope)
                }
                bus.subscribe(to: Ordered.self, group: scene.group("all")) { _, context in
                    all.note(context.envelope)
                }
                let batched = DeliveryRecord()
                bus.subscribe(
                    toBatchesOf: Ordered.self,
                    matching: pattern,
                    group: scene.group("batched"),
                    maximumCount: 2,
                    within: .milliseconds(50)
                ) { batch in
                    for member in batch {
                        let customer = member.event.customer
                        try expect(customer == "7", "customer \(customer) came to the batches of 7")
                        batched.note(member.context.envelope)
                    }
                }
                try await scene.running(bus) {
                    let events = ["7", "77", "8", "7"].map { Ordered(scene: scene.id, customer: $0) }
                    let receipts = try await bus.publish(contentsOf: events)
                    for receipt in receipts { try expect(try receipt.get().outcome == .routed, "not routed") }
                    try await all.wait(for: 4)
                    try await some.wait(for: 2)
                    try await batched.wait(for: 2)
                    try expect(
                        Set(batched.all.map(\.envelope.id)) == Set(some.all.map(\.envelope.id)),
                        "batches got other events than single handlers of the same pattern"
                    )
                    let topics = Set(all.all.map(\.envelope.topic.rawValue))
                    let expected = Set(["7", "77", "8"].map { "\(scene.id).customer.\($0).ordered" })
                    try expect(topics == expected, "the topics are \(topics)")
                    try await expectError(.invalidTopic, from: "a dot in a word") {
                        try await bus.publish(Ordered(scene: scene.id, customer: "7.8"))
                    }
                }
            },
            check("events of a hundred concurrent topics each reach their own handler") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                bus.subscribe(group: scene.group(), name: "many") { [scene] handlers in
                    for number in 0..<100 {
                        guard let pattern = try? scene.pattern("many.t\(number)") else { continue }
                        handlers.on(pattern) { event, _ in
                            try expect(
                                String(decoding: event.envelope.payload, as: UTF8.self) == "\(number)",
                                "the handler of t\(number) got an event of \(event.topic)"
                            )
                            seen.note(event.envelope)
                        }
                    }
                }
                try await scene.running(bus) {
                    try await withThrowingTaskGroup(of: Void.self) { tasks in
                        for number in 0..<100 {
                            tasks.addTask {
                                try await bus.publish(try scene.event("many.t\(number)", number: number))
                            }
                        }
                        try await tasks.waitForAll()
                    }
                    try await seen.wait(for: 100)
                    try expect(Set(seen.numbers) == Set(0..<100), "not every topic arrived")
                }
            },
            check("topics are isolated from each other") { scene in
                let bus = try await scene.makeBus()
                let (left, right) = (DeliveryRecord(), DeliveryRecord())
                bus.subscribe(to: try scene.pattern("left"), group: scene.group()) { event, _ in
                    left.note(event.envelope)
                }
                bus.subscribe(to: try scene.pattern("right"), group: scene.group()) { event, _ in
                    right.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<20 {
                        try await bus.publish(try scene.event(number < 10 ? "left" : "right", number: number))
                    }
                    try await left.wait(for: 10)
                    try await right.wait(for: 10)
                    try expect(Set(left.numbers) == Set(0..<10), "left saw \(left.numbers)")
                    try expect(Set(right.numbers) == Set(10..<20), "right saw \(right.numbers)")
                }
            },
            check("two groups each get every event") { scene in
                let bus = try await scene.makeBus()
                let (first, second) = (DeliveryRecord(), DeliveryRecord())
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group("first")) { event, _ in
                    first.note(event.envelope)
                }
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group("second")) { event, _ in
                    second.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<20 { try await bus.publish(try scene.event(number: number)) }
                    try await first.wait(for: 20)
                    try await second.wait(for: 20)
                    try expect(
                        first.numbers.sorted() == Array(0..<20),
                        "the first group saw \(first.numbers)"
                    )
                    try expect(
                        second.numbers.sorted() == Array(0..<20),
                        "the second group saw \(second.numbers)"
                    )
                }
            },
            check("the members of a group share its events") { scene in
                let buses = [try await scene.makeBus(), try await scene.makeBus()]
                let seen = [DeliveryRecord(), DeliveryRecord()]
                for (bus, entries) in zip(buses, seen) {
                    bus.subscribe(
                        to: try scene.pattern("probe"),
                        group: scene.group(),
                        options: .init(concurrency: 1)
                    ) { event, _ in
                        entries.note(event.envelope)
                        // Neither handler finishes before both have started, so neither can handle all events.
                        try await eventually("the other member gets an event") {
                            seen.allSatisfy { $0.count > 0 }
                        }
                    }
                }
                try await scene.running(buses[0], buses[1]) {
                    for number in 0..<40 { try await buses[0].publish(try scene.event(number: number)) }
                    try await eventually("40 handled") { seen[0].count + seen[1].count >= 40 }
                    let all = (seen[0].numbers + seen[1].numbers).sorted()
                    try expect(all == Array(0..<40), "together the members saw \(all)")
                }
            },
        ]
    }
}

/// An event whose topic contains its values.
private struct Ordered: RoutedEvent {
    static let topicTemplate: TopicPattern = "*.customer.*.ordered"
    var topicValues: [String] { [scene, customer] }
    var scene: String
    var customer: String
}
