import EventBus
import EventBusRabbit
import Foundation
import Testing

@testable import EventBusCommands

/// The findings about queues, from counts at several times.
struct ExaminationTests {
    private func findings(
        _ counts: [Int],
        consumers: Int = 1,
        name: String = "inventory.orders",
        deadLetters: [String: String] = [:]
    ) -> [Finding] {
        let inspections = counts.map { count in
            var inspection = BrokerInspection(version: "3.12.1")
            inspection.queues = [BrokerInspection.Queue(name: name, events: count, consumers: consumers)]
            return inspection
        }
        return Examination(
            exchange: "events",
            inspections: inspections,
            period: .seconds(3),
            deadLetterQueues: deadLetters
        ).findings.filter { $0.subject == name }
    }

    @Test func `only a queue that never gets shorter is one whose consumers receive nothing`() {
        #expect(findings([5, 5, 6]).map(\.level) == [.warning])
        #expect(findings([5, 4, 6]).map(\.level) == [.note])
        #expect(findings([5, 5, 0]).map(\.level) == [.note])
        #expect(findings([5, 5, 6], consumers: 0).map(\.level) == [.problem])
    }

    @Test func `growing dead letters are a problem, and others a warning`() {
        let dead = ["inventory": "inventory.dead"]
        #expect(findings([1, 1, 2], name: "inventory.dead", deadLetters: dead).map(\.level) == [.problem])
        #expect(findings([2, 2, 1], name: "inventory.dead", deadLetters: dead).map(\.level) == [.warning])
        #expect(findings([0, 0, 0], name: "inventory.dead", deadLetters: dead).isEmpty)
    }

    @Test func `levels of delay hold events past their time only after it has passed`() {
        func level(_ number: Int, _ counts: [Int]) -> [Finding.Level] {
            let inspections = counts.map { count in
                var inspection = BrokerInspection(version: "3.12.1")
                inspection.sharedQueues = [
                    BrokerInspection.Queue(name: "eventbus.delay.v1.\(number)", events: count, consumers: 0)
                ]
                return inspection
            }
            return Examination(exchange: "events", inspections: inspections, period: .seconds(3), deadLetterQueues: [:])
                .findings.filter { $0.subject != "broker" }.map(\.level)
        }
        #expect(level(0, [3, 3, 3]) == [.warning])
        #expect(level(0, [3, 2, 3]).isEmpty)
        #expect(level(5, [3, 3, 3]).isEmpty)
    }

    @Test func `an old release and missing exchanges are problems`() {
        var inspection = BrokerInspection(version: "3.9.5")
        inspection.missingExchanges = ["events"]
        let findings = Examination(exchange: "events", inspections: [inspection], period: .zero, deadLetterQueues: [:])
            .findings
        #expect(findings.map(\.level) == [.problem, .problem])
        #expect(findings.allSatisfy { $0.remedy != nil })
    }
}
