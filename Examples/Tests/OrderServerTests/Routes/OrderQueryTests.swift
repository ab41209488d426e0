import EventBusServiceKit
import HTTPTypes
import OrderService
import Testing

@testable import OrderServer

@Suite("The query of a list of orders", .timeLimit(.minutes(1)))
struct OrderQueryTests {
    /// Parses a query such as `status=placed&limit=1`.
    private func query(_ text: String) throws -> OrderQuery {
        try OrderQuery(
            text.split(separator: "&").map { parameter in
                let parts = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (key: parts[0], value: parts.count > 1 ? parts[1] : "")
            }
        )
    }

    @Test("The name of an unknown parameter is quoted up to a number of bytes, without what a terminal would interpret")
    func unknownParameter() throws {
        for name in ["e" + String(repeating: "\u{301}", count: 100_000), "a\u{9B}\u{202E}"] {
            let problem = try #require(throws: HTTPProblem.self) { try query("\(name)=1") }
            #expect(problem.fields.allSatisfy { $0.field.utf8.count < 200 && !$0.field.contains("\u{9B}") })
            #expect(problem.fields.count == 1)
        }
    }

    @Test("Every parameter may be omitted")
    func defaults() throws {
        let query = try query("")
        #expect(query.status == nil)
        #expect(query.limit == 100)
        #expect(query.previous == nil)
    }

    @Test("Parameters are read")
    func values() throws {
        let query = try query("status=confirmed&limit=500&after=01-2")
        #expect(query.status == .confirmed)
        #expect(query.limit == 500)
        #expect(query.previous == "01-2")
    }

    @Test(
        "What is wrong is named",
        arguments: [
            ("status=lost", "status", "has to be one of placed, confirmed, cancelled"),
            ("status=", "status", "has to be one of"), ("status", "status", "has to be one of"),
            ("status=Placed", "status", "has to be one of"),
            ("limit=0", "limit", "a whole number from 1 to 500"), ("limit=501", "limit", "a whole number"),
            ("limit=-1", "limit", "a whole number"), ("limit=+1", "limit", "a whole number"),
            ("limit=", "limit", "a whole number"), ("limit=1.0", "limit", "a whole number"),
            ("limit=99999999999999999999", "limit", "a whole number"),
            ("after=", "after", "has to be the id of an order"), ("after=\u{0}", "after", "has to be the id"),
            ("after= ", "after", "has to be the id"), ("after=ä", "after", "has to be the id"),
            ("after=" + String(repeating: "a", count: 101), "after", "has to be the id"),
            ("limit=1&limit=2", "limit", "is given more than once"),
            ("state=placed", "state", "is no parameter of this list; there are status, limit and after"),
        ]
    )
    func invalid(text: String, field: String, expected: String) throws {
        let problem = try #require(throws: HTTPProblem.self) { try query(text) }
        #expect(problem.status == .badRequest)
        #expect(problem.fields.map(\.field) == [field])
        #expect(problem.fields.first?.problem.contains(expected) == true, "\(problem.fields)")
    }
}
