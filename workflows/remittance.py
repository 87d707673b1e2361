"""Carries the news of a courier's deposit from the post to the books."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from services.payment.contract import RecordRemittance
    from workflows.activities import DepositCall, PaymentActivities, PostalActivities, RemittanceCall
    from workflows.calls import act
    from workflows.contract import RemittanceInput


@workflow.defn(name="Remittance")
class RemittanceWorkflow:
    """One deposit, recorded once, however often it is announced and however long the books are away."""

    @workflow.run
    async def run(self, deposit: RemittanceInput) -> str:
        """Record it, and tell the post that the books have it; returns the remittance's reference."""
        body = RecordRemittance(
            event_id=deposit.event_id,
            reference=deposit.reference,
            amount_dong=deposit.amount_dong,
            collector=deposit.collector,
            deposited_at=deposit.deposited_at,
            dossier_codes=deposit.dossier_codes,
        )
        call = RemittanceCall(key=f"{workflow.info().workflow_id}:record", body=body)
        await act(PaymentActivities, PaymentActivities.record_remittance, call)
        if deposit.deposit_id is not None:  # runs begun by older code do not know it
            told = DepositCall(deposit_id=deposit.deposit_id)
            await act(PostalActivities, PostalActivities.note_remitted, told)
        return deposit.reference
