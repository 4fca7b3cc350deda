import pytest
@pytest.mark.parametrize("n", range(5))
async def test_x(database, n):
    async with database.unit_of_work() as work:
        print(await work.people.users())
