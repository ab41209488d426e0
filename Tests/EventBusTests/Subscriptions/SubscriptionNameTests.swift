import Testing

@testable import EventBus

@Suite("Names of subscriptions", .timeLimit(.minutes(1)))
struct SubscriptionNameTests {
    @Test(
        "A plain pattern gives its words",
        arguments: [("order.created", "order-created"), ("order.*", "order-any"), ("#", "all"), ("a_b.c", "a_b-c")]
    )
    func plain(pattern: String, name: String) throws {
        #expect(SubscriptionName.derived(from: try TopicPattern(validating: pattern)) == name)
    }

    @Test("No two patterns share a name, and every name is valid")
    func distinct() throws {
        let long = String(repeating: "x", count: 110)
        let patterns = [
            "order.*", "order.any", "order.#", "order.all", "a.b-c", "a-b.c", "a.b.c", "a-b-c", "größe", "grüße",
            "dead",
            "dead.letters", "any", "*", "all", "#", long, long + "y", long + ".*", "a_b", "a.b", "ä", "_",
        ]
        let names = try patterns.map { SubscriptionName.derived(from: try TopicPattern(validating: $0)) }
        #expect(Set(names).count == names.count, "\(names)")
        for name in names { #expect(SubscriptionName.problem(group: "g", name: name) == nil, "\(name)") }
    }

    @Test("A name does not depend on how this version of Unicode combines scalars into characters")
    func scalars() throws {
        let flag = "\u{1F1E9}\u{1F1EA}"
        #expect(SubscriptionName.derived(from: try TopicPattern(validating: "a.\(flag)")).hasPrefix("a-__-"))
        #expect(SubscriptionName.derived(from: try TopicPattern(validating: "e\u{301}")).hasPrefix("e_-"))
    }

    @Test("A name is the same in every process")
    func stable() throws {
        #expect(SubscriptionName.derived(from: try TopicPattern(validating: "a.b-c")) == "a-b-c-06603fb5131c3670")
    }
}
