import Testing

@testable import Fleet

@Suite("The plan of a chaos run", .timeLimit(.minutes(1)))
struct ChaosPlanTests {
    private let members = ["order-service", "inventory-service-1", "inventory-service-2", "rabbitmq", "redis"]

    @Test("A seed always gives the same plan, and another seed another one")
    func seeds() {
        let plans = [7, 7, 8].map { ChaosPlan(seed: $0, members: members, count: 2, within: .seconds(60)) }
        #expect(plans[0] == plans[1])
        #expect(plans[0].strikes != plans[2].strikes)
    }

    @Test("Every member is killed equally often, within the window", arguments: 1...50 as ClosedRange<UInt64>)
    func everyMember(seed: UInt64) {
        let plan = ChaosPlan(seed: seed, members: members, count: 2, within: .seconds(60))
        for member in members { #expect(plan.strikes.count { $0.member == member } == 2) }
        #expect(plan.strikes.allSatisfy { $0.at > .zero && $0.at < .seconds(56) })
        #expect(plan.strikes.map(\.at) == plan.strikes.map(\.at).sorted())
    }

    @Test("Some are killed while others are down", arguments: 1...50 as ClosedRange<UInt64>)
    func overlaps(seed: UInt64) {
        let strikes = ChaosPlan(seed: seed, members: members, count: 2, within: .seconds(60)).strikes
        let overlapping = strikes.filter { strike in
            strikes.contains { other in
                other.member != strike.member && (other.at..<other.at + other.downFor).contains(strike.at)
            }
        }
        #expect(overlapping.count >= 4)
    }

    @Test("Without members or strikes, the plan is empty")
    func nothing() {
        #expect(ChaosPlan(seed: 1, members: [], count: 2, within: .seconds(60)).strikes.isEmpty)
        #expect(ChaosPlan(seed: 1, members: members, count: 0, within: .seconds(60)).strikes.isEmpty)
    }
}
