internal import Instrumentation
package import Logging

extension EventContext {
    /// Creates the context of an attempt that no subscription makes, for a test that calls a handler or a middleware
    /// directly.
    ///
    /// - Parameter transport: The transport whose clock the context uses.
    package convenience init(
        detached delivery: Delivery,
        isLastAttempt: Bool,
        subscription: SubscriptionInfo,
        transport: any Transport,
        consumer: any TransportConsumer,
        logger: Logger
    ) {
        let clock = transport.clock
        let options = SubscriptionOptions()
        let queue = DeliveryQueue(options.queueOptions, clock: clock)
        let watchdog = HandlerWatchdog(clock: clock)
        let processor = DeliveryProcessor(
            subscription: subscription,
            handlers: HandlerTable(SubscriptionHandlers(codecs: CodecRegistry(encoder: JSONEventCodec(), others: []))),
            middleware: [],
            observers: [],
            retry: options.retry,
            retryVerdict: nil,
            handlerLimit: .none,
            derivesEventIDs: options.derivesEventIDs,
            holdsPublishes: false,
            maximumDeferral: options.maximumDeferral,
            pause: SubscriptionPause(queue: queue, clock: clock),
            maximumHold: nil,
            environment: SubscriptionEnvironment(
                transport: transport,
                clock: clock,
                payloads: PayloadPipeline(encoders: []),
                watchdog: watchdog,
                logger: BusLogger(logger),
                shutdownTimeout: .zero,
                cancellationGrace: .zero,
                bus: ObjectIdentifier(queue)
            ),
            stopping: Signal(),
            aborting: Signal()
        )
        self.init(
            delivery: delivery,
            attempt: delivery.attempt,
            isLastAttempt: isLastAttempt,
            isProbe: false,
            worker: Worker(watchdog: watchdog, queue: queue),
            invocation: { _ in },
            processor: processor,
            consumer: consumer
        )
    }

    /// Revokes the delivery, as if its connection were lost. The task of the handler is not cancelled.
    package func revokeDetached() { worker.revoke(delivery) }

    /// Runs a closure as a subscription runs its handler: the events that it publishes belong to the handled event's
    /// chain of causes.
    package func runDetached<Result>(_ body: (EventContext) async throws -> Result) async rethrows -> Result {
        let number = worker.currentAttempt.begin(self)
        defer { worker.currentAttempt.end() }
        let serviceContext = correlation(attempt: number).serviceContext
        return try await ServiceContext.$current.withValue(serviceContext) { try await body(self) }
    }
}

extension SettledDelivery {
    /// Creates the outcome of an attempt that no subscription makes.
    package init(detached context: EventContext, disposition: Disposition, isHeld: Bool) {
        let processor = context.processor
        self.init(
            delivery: context.delivery,
            attempt: context.attempt,
            disposition: disposition,
            isHeld: isHeld,
            settler: DeliverySettler(
                subscription: context.subscription,
                observers: [],
                keepsOrder: false,
                queue: DeliveryQueue(SubscriptionOptions().queueOptions, clock: processor.environment.clock),
                stopping: Signal(),
                environment: processor.environment
            )
        )
    }
}
