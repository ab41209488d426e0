import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import EventBusServiceKit

@Suite(.timeLimit(.minutes(1)))
struct BodyBudgetTests {
    private let headers: HTTPFields = [.contentType: "application/json"]

    private func context(_ budget: BodyBudget) -> ServiceRequestContext {
        let source = ApplicationRequestContextSource(
            channel: NIOAsyncTestingChannel(),
            logger: Logger(label: "test")
        )
        var context = ServiceRequestContext(source: source)
        context.bodies = budget
        return context
    }

    private func request(_ body: RequestBody) -> Request {
        let head = HTTPRequest(
            method: .post,
            scheme: "http",
            authority: "localhost",
            path: "/orders",
            headerFields: headers
        )
        return Request(head: head, body: body)
    }

    @Test func `a body that the budget has no room for is refused, and nothing stays occupied`() async throws {
        let budget = BodyBudget(limit: 50)
        let router = ServiceRouter.open(bodies: budget).make(TestShop.addRoutes)
        try await Application(router: router).test(.router) { client in
            for (length, status) in [(100, HTTPResponse.Status.serviceUnavailable), (1, .accepted), (1, .accepted)] {
                let body = #"{"customerID":"\#(String(repeating: "c", count: length))","items":[]}"#
                let response = try await client.execute(
                    uri: "/orders",
                    method: .post,
                    headers: headers,
                    body: ByteBuffer(string: body)
                )
                #expect(response.status == status)
                #expect((response.headers[.retryAfter] != nil) == (status == .serviceUnavailable))
                #expect(budget.usedBytes == 0)
            }
        }
    }

    @Test func `half-sent bodies occupy at most the budget, until their time is over`() async throws {
        let budget = BodyBudget(limit: 1000)
        let sources = try await withThrowingTaskGroup(of: HTTPProblem?.self) { group in
            var sources: [RequestBody.Source] = []
            for _ in 0..<30 {
                let (body, source) = RequestBody.makeStream()
                sources.append(source)
                await source.yield(ByteBuffer(repeating: UInt8(ascii: "["), count: 100))
                let (request, context) = (request(body), context(budget))
                group.addTask {
                    do {
                        _ = try await request.decodeJSON([String].self, context: context, timeout: .milliseconds(200))
                        return nil
                    } catch {
                        return error as? HTTPProblem
                    }
                }
            }
            var problems: [HTTPResponse.Status: Int] = [:]
            for try await problem in group {
                #expect(budget.usedBytes <= 1000)
                if let problem { problems[problem.status, default: 0] += 1 }
            }
            #expect(problems[.requestTimeout, default: 0] >= 10)
            #expect(problems[.requestTimeout, default: 0] + problems[.serviceUnavailable, default: 0] == 30)
            return sources
        }
        #expect(budget.usedBytes == 0)
        for source in sources { source.finish() }
    }
}
