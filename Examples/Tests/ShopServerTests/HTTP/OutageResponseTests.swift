import EventBusServiceKit
import GRDB
import Hummingbird
import HummingbirdTesting
import ServiceStorage
import ServiceTestKit
import Testing

@Suite(.timeLimit(.minutes(1)))
struct OutageResponseTests {
    @Test func `a request during an outage of the database is answered with 503`() async throws {
        let router = Router.service(access: .open) { router in
            router.get("busy") { _, _ -> String in
                try await reportingOutages { throw DatabaseError(resultCode: .SQLITE_BUSY) }
            }
        }
        try await Application(router: router, logger: .quiet).test(.router) { client in
            let response = try await client.get("/busy")
            #expect(response.status == .serviceUnavailable)
            let problem = try response.decode(ProblemDocument.self)
            #expect(problem.title == "The service cannot do this at the moment")
            #expect(problem.detail == "Something that it depends on cannot be reached. Try again.")
        }
    }
}
